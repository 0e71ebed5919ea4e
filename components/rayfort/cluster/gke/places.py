"""Where a cluster is: project, region or zone, and what Google calls the cluster."""

from typing import Annotated, Final

from rayfort.model import Written

ProjectId = Annotated[
    str,
    Written(
        r"[a-z][-a-z0-9]{4,28}[a-z0-9]",
        "is not a project's id; use 6 to 30 lower-case letters, digits and '-', not its number or title",
    ),
]
_REGION: Final = r"[a-z]+-[a-z]+[0-9]+"
Location = Annotated[
    str,
    Written(rf"{_REGION}(-[a-z])?", "is not a region or zone; write for example us-west1 or us-west1-b"),
]
Zone = Annotated[str, Written(rf"{_REGION}-[a-z]", "is not a zone; write for example us-west1-b")]
# The nodes' service account is named after the cluster, in at most 30 characters.
GkeName = Annotated[
    str,
    Written(
        r"[a-z][-a-z0-9]{0,22}[a-z0-9]",
        "is not a cluster's name; use at most 24 lower-case letters, digits and '-', starting with a letter "
        "and not ending with '-'",
    ),
]
PoolName = Annotated[
    str,
    Written(
        r"[a-z]([-a-z0-9]{0,38}[a-z0-9])?",
        "is not a node pool's name; use at most 40 lower-case letters, digits and '-', starting with a "
        "letter and not ending with '-'",
    ),
]
KmsKey = Annotated[
    str,
    Written(
        r"projects/[^/\s]+/locations/[^/\s]+/keyRings/[^/\s]+/cryptoKeys/[^/\s]+",
        "is not a key of Cloud KMS; write projects/P/locations/L/keyRings/R/cryptoKeys/K",
    ),
]
ServiceAccountEmail = Annotated[
    str,
    Written(
        r"[-a-z0-9]+@[-a-z0-9.]+\.iam\.gserviceaccount\.com",
        "is not a service account; write name@project.iam.gserviceaccount.com",
    ),
]
ImageRepositoryPath = Annotated[
    str,
    Written(
        r"projects/[^/\s]+/locations/[^/\s]+/repositories/[^/\s]+",
        "is not a repository of Artifact Registry; write projects/P/locations/L/repositories/R",
    ),
]
SecurityGroup = Annotated[
    str,
    Written(
        r"gke-security-groups@[^@\s]+\.[^@\s]+",
        "is not a group that GKE takes; it must be gke-security-groups@ your domain",
    ),
]


def is_zone(location: str) -> bool:
    """Whether a location is a zone; else it is a region."""
    return location.count("-") == 2


def region_of(location: str) -> str:
    """The region of a location."""
    return location.rpartition("-")[0] if is_zone(location) else location
