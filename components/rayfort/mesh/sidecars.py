"""The three ways in which Pods get into the mesh, or do not."""

from enum import StrEnum


class Sidecars(StrEnum):
    """How the Pods of Ray clusters get their sidecars.

    ``native``: as init containers that keep running, started before all others. ``classic``: beside the
    other containers, after init containers are done. ``none``: there is no mesh.
    """

    NATIVE = "native"
    CLASSIC = "classic"
    NONE = "none"
