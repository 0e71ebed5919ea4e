"""`plan A B`: what differs between two stacks, or between two revisions of the repository, offline."""

import difflib
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from rayfort.review.affected import affected
from rayfort.review.comment import comment
from rayfort.review.model import Review, to_json
from rich.console import Console
from rich.text import Text

from cli import exits, manifests
from cli.difference import review
from cli.offline import Plan
from cli.offline import plan as make
from cli.review_text import lines
from cli.revisions import Checkout, RevisionError, checkout, is_revision, touched
from cli.stacks import StackFileError, directory, load, names
from infra.problems import SettingsError


@dataclass(frozen=True)
class Pair:
    """Two plans of what is called one stack; ``errors`` say why one is missing that should be there."""

    stack: str
    before: Plan | None
    after: Plan | None
    errors: tuple[str, ...] = ()

    @property
    def review(self) -> Review:
        """What differs."""
        return review(self.stack, self.before, self.after, self.errors)


@dataclass(frozen=True)
class Shown:
    """How the difference is shown.

    Attributes:
        json: as JSON, for `review comment`.
        markdown: as the comment on a pull request.
        manifests: a directory for the Kubernetes objects of both sides.
        diff: the manifests' difference, line by line.
        force: let ``manifests`` hold other files.
    """

    json: bool = False
    markdown: bool = False
    manifests: Path | None = None
    diff: bool = False
    force: bool = False


def difference(
    root: Path, before: str, after: str, *, stacks: Sequence[str], shown: Shown, console: Console
) -> int:
    """Show what differs.

    Args:
        root: the project's directory.
        before: a stack, or a revision.
        after: likewise; ``.`` is the working tree.
        stacks: of two revisions, only these stacks; by default those that the change affects.
        shown: how.
        console: where to print.

    Returns:
        0; 1 where the second one cannot be rendered or would fail; 2 where an argument is wrong.
    """
    try:
        pairs = list(_pairs(root, before, after, stacks))
        if shown.manifests is not None:
            _write(pairs, shown.manifests, force=shown.force)
    except (RevisionError, StackFileError, SettingsError, manifests.ManifestsError) as error:
        print(f"rayfort: {error}", file=sys.stderr)
        return exits.USAGE
    reviews = [pair.review for pair in pairs]
    if shown.json:
        console.out(to_json(reviews), highlight=False, end="")
    elif shown.markdown:
        console.out(comment(reviews), highlight=False, end="")
    elif shown.diff:
        for line in _diff(pairs):
            console.print(line, soft_wrap=True)
    else:
        _print(reviews, console)
    return exits.FAILED if any(each.errors for each in reviews) else 0


def _print(reviews: Sequence[Review], console: Console) -> None:
    if not reviews:
        console.print("No stack is affected.")
    for each in reviews:
        for line in lines(each):
            console.print(line, soft_wrap=True)


def _pairs(root: Path, before: str, after: str, stacks: Sequence[str]) -> Iterator[Pair]:
    known = names(root)
    if before in known and after in known:
        if stacks:
            raise RevisionError("--stack is for two revisions; these are two stacks")
        yield Pair(f"{before} → {after}", make(load(root, before)), make(load(root, after)))
        return
    _refuse(root, (before, after), known)
    with ExitStack() as open_:
        old, new = (open_.enter_context(checkout(root, name)) for name in (before, after))
        for stack in _chosen(root, old, new, stacks, touched(root, before, after)):
            yield _of_revisions(old, new, stack)


def _refuse(root: Path, given: Sequence[str], stacks: Sequence[str]) -> None:
    """Name what is neither two revisions nor two stacks."""
    unknown = [name for name in given if not is_revision(root, name)]
    strange = [name for name in unknown if name not in stacks]
    if strange:
        listed = ", ".join(stacks) or "none"
        raise RevisionError(
            f"{strange[0]!r} is neither a stack nor a revision that git knows; name two stacks of "
            f"{listed}, or two revisions (. is the working tree)"
        )
    if unknown:
        raise RevisionError(
            f"{unknown[0]} is a stack, and the other one a revision; name two of a kind, and with two "
            f"revisions --stack {unknown[0]}"
        )


def _chosen(
    root: Path, old: Checkout, new: Checkout, stacks: Sequence[str], files: Sequence[str] | None
) -> Sequence[str]:
    either = sorted({*old.stacks, *new.stacks})
    unknown = sorted({*stacks} - {*either})
    if unknown:
        raise RevisionError(
            f"there is no stack {unknown[0]!r} at {old.name} or {new.name}: {', '.join(either)}"
        )
    if stacks or files is None:
        return stacks or either
    gone = sorted({*old.stacks} - {*new.stacks})
    folder = directory(new.root).relative_to(new.root).as_posix()
    return sorted({*affected(files, new.stacks, folder), *gone})


def _of_revisions(old: Checkout, new: Checkout, stack: str) -> Pair:
    plans: list[Plan | None] = []
    errors: list[str] = []
    for side in (old, new):
        try:
            plans.append(side.plan(stack) if stack in side.stacks else None)
        except RevisionError as error:
            plans.append(None)
            errors.append(str(error))
    return Pair(stack, plans[0], plans[1], tuple(errors))


def _write(pairs: Sequence[Pair], place: Path, *, force: bool) -> None:
    for side in ("before", "after"):
        files: dict[str, str] = {}
        for pair in pairs:
            plan = pair.before if side == "before" else pair.after
            made = manifests.render(plan) if plan else {}
            files |= {f"{pair.stack.replace(' → ', '-to-')}/{path}": text for path, text in made.items()}
        manifests.write(files, place / side, force=force)


def _diff(pairs: Sequence[Pair]) -> Iterator[Text]:
    styles = {"+": "green", "-": "red", "@": "cyan"}
    for pair in pairs:
        for error in pair.errors:
            yield Text(f"Problem: {error}", "bold red")
        old, new = (manifests.render(plan) if plan else {} for plan in (pair.before, pair.after))
        for path in sorted(old.keys() | new.keys()):
            was, will_be = (side.get(path, "").splitlines() for side in (old, new))
            name = f"{pair.stack}/{path}"
            for line in difflib.unified_diff(was, will_be, name, name, lineterm=""):
                yield Text(line, styles.get(line[:1], ""))
