"""The APIs that a cluster needs, for what switches them on and for what looks whether they are on."""

from typing import Final

APIS: Final = (
    "artifactregistry.googleapis.com",
    "cloudkms.googleapis.com",
    "compute.googleapis.com",
    "container.googleapis.com",
    "iam.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
)
