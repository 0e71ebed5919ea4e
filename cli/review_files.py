"""The files between a workflow's jobs, and the stacks that they are about."""

import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from rayfort.review.affected import affected
from rayfort.review.model import Review, ReviewError, Source, Weakened, from_json

from cli.revisions import RevisionError, touched
from cli.stacks import directory, names


def changed_stacks(root: Path, base: str | None, head: str) -> Sequence[str]:
    """The stacks that a change affects; every stack where that cannot be told.

    Args:
        root: the checkout.
        base: the revision before the change; None for every stack.
        head: the revision after it.

    Raises:
        StackFileError: if the project cannot be read.
    """
    if base is None:
        return names(root)
    try:
        files = touched(root, base, head)
    except RevisionError:
        files = None
    if files is None:
        return names(root)
    return affected(files, names(root), directory(root).relative_to(root).as_posix())


def read_all(files: Iterable[Path], expected: str, *, unvouched: bool) -> list[Review]:
    """The reviews in some files, and a failed one for each stack that should have one and has none.

    Args:
        files: files and directories; what a directory holds beside JSON is left alone.
        expected: stacks, as a JSON list.
        unvouched: take them for offline ones, whatever they say.

    Raises:
        ReviewError: if a file holds no reviews, or ``expected`` is no list of names.
    """
    found = [review for file in _files(files) for review in from_json(_text(file), file.name)]
    known = {review.stack for review in found}
    found += [_missing(stack) for stack in _names(expected) if stack not in known]
    if unvouched:
        return [review.model_copy(update={"source": Source.OFFLINE}) for review in found]
    return found


def _missing(stack: str) -> Review:
    return Review(
        stack=stack,
        errors=("the job ended without a preview; look at its log",),
        weakened=Weakened(known=False),
        failed=True,
    )


def _files(files: Iterable[Path]) -> Iterator[Path]:
    for file in files:
        if file.is_dir():
            yield from sorted(file.glob("*.json"))
        elif file.suffix:
            yield file
        # Else a directory that nobody made, since there was nothing to put into it.


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8")


def _names(text: str) -> list[str]:
    try:
        listed = json.loads(text or "[]")
    except ValueError:
        listed = None
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise ReviewError("RAYFORT_EXPECTED or --expected is no JSON list of stacks")
    return listed
