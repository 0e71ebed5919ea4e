"""Whether an image can be the Ray that a cluster says it is.

KubeRay never looks into the image: what it does follows from ``rayVersion`` alone. An older Ray in the image
knows nothing of tokens, ignores ``RAY_AUTH_MODE``, and would let everybody in.
"""

import re
from typing import Final

from rayfort import pod_security
from rayfort.model import JsonObject

CHECK: Final = "ray-version"
# Ray's own tags begin with the version (``2.55.1-py311-cu121``); others name it (``cuda12-ray2.55.1``).
_IN_TAG: Final = re.compile(r"(?:^v?|ray[-_]?v?)(?P<version>\d+\.\d+\.\d+)(?![0-9.])")
_TAG: Final = re.compile(r":(?P<tag>[^:/@]+)(?:@|$)")
_LITTLE: Final = {"cpu": "50m", "memory": "128Mi"}
# Of the installed distribution, since importing Ray takes seconds. A build of one's own, 2.55.1+abc, will do.
_PROGRAM: Final = """\
import importlib.metadata, re, sys
wanted = sys.argv[1]
found = importlib.metadata.version("ray")
if re.match(r"[0-9]+[.][0-9]+[.][0-9]+", found)[0] != wanted:
    sys.exit(f"The image holds Ray {found}, and rayVersion says {wanted}. Set rayVersion to what the image "
             "holds, or take another image: nothing runs here until both agree.")
"""


def version_in_tag(image: str) -> str | None:
    """The version of Ray that the image's tag names; None where it names none."""
    tag = _TAG.search(image)
    found = _IN_TAG.search(tag["tag"]) if tag else None
    return found["version"] if found else None


def check_image(image: str, ray_version: str, *, stated: bool) -> None:
    """Refuse an image that names another version, or none where nobody states one.

    Args:
        image: a whole image reference.
        ray_version: what the cluster says.
        stated: whether that was written, and is not the default.

    Raises:
        ValueError: saying what to set.
    """
    named = version_in_tag(image)
    if named is None and not stated:
        raise ValueError(
            f"nothing in {image} says which Ray it holds; set rayVersion to that: KubeRay never looks "
            "into the image"
        )
    if named is not None and named != ray_version:
        raise ValueError(
            f"{image} names version {named}, and rayVersion is {ray_version}; set rayVersion to what the "
            "image holds (where its tag counts something else, name the image by digest)"
        )


def version_check(image: str, ray_version: str) -> JsonObject | None:
    """An init container that fails where the image holds another Ray; None where a tag names the version.

    A tag beside a digest is a comment: what runs is what the digest names.
    """
    if version_in_tag(image) is not None and "@" not in image:
        return None
    return {
        "name": CHECK,
        "image": image,
        "command": ["python", "-c", _PROGRAM, ray_version],
        "resources": {"requests": _LITTLE, "limits": _LITTLE},
        "securityContext": pod_security.container_security_context(),
    }
