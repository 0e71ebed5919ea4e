"""What the nightly check does with the one issue about drift."""

from collections.abc import Sequence
from dataclasses import dataclass

from rayfort.review.comment import comment
from rayfort.review.model import Review


@dataclass(frozen=True)
class Decision:
    """What to do with the issue.

    Attributes:
        keep_open: whether it is opened or updated; else it is closed.
        title: its title.
        body: its text, or the comment with which it is closed.
    """

    keep_open: bool
    title: str
    body: str


def decide(reviews: Sequence[Review], *, commit: str = "", where: str = "") -> Decision:
    """Open or update where a stack has drifted or could not be looked at, close where all are clean.

    A stack that would change although nobody changed it past Pulumi counts as well: somebody merged and did
    not deploy.

    Args:
        reviews: every stack's, from previews that looked at the cluster first.
        commit: the revision that the stacks were compared with.
        where: where the whole text is.
    """
    drifted = sorted(review.stack for review in reviews if review.changes and not review.failed)
    failed = sorted(review.stack for review in reviews if review.failed)
    if not reviews:
        raise ValueError("no stack was looked at, which says nothing about drift")
    if not drifted and not failed:
        names = ", ".join(sorted(review.stack for review in reviews))
        return Decision(False, "", f"No drift any more: what runs is what the code says ({names}).")
    parts = [
        *([f"drift in {', '.join(drifted)}"] if drifted else []),
        *([f"no answer about {', '.join(failed)}"] if failed else []),
    ]
    title = "; ".join(parts)
    body = comment(reviews, commit=commit, drift=True, where=where)
    return Decision(True, f"{title[0].upper()}{title[1:]}", body)
