"""`./rayfort review`: previews for pull requests, and what is said about them on GitHub."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rayfort.policies.rule import Stage

from cli import exits

if TYPE_CHECKING:
    from rayfort.review.github import GitHub
    from rayfort.review.model import Review

ROOT: Final = Path(__file__).resolve().parent.parent
TOKEN: Final = "GITHUB_TOKEN"  # noqa: S105 - a variable's name

app = typer.Typer(
    help="Previews for pull requests, and what is said about them on GitHub.",
    epilog="Exit codes: 0 success; 1 failed, or a policy refuses; 2 wrong usage; 3 changes found.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write into this file.")]
Reviews = Annotated[
    list[Path], typer.Argument(help="Files of `preview`, `read` or `plan A B --json`, or directories.")
]
Expected = Annotated[
    str,
    typer.Option(
        envvar="RAYFORT_EXPECTED",
        help="The stacks that must be among them, as a JSON list; one that is missing is told as failed.",
    ),
]
Commit = Annotated[str, typer.Option(envvar="GITHUB_SHA", help="The revision that was reviewed.")]
Repository = Annotated[str, typer.Option(envvar="GITHUB_REPOSITORY", help="owner/name on GitHub.")]


def _stack_names() -> list[str]:
    from cli.stacks import names

    return names(ROOT)


Stack = Annotated[str, typer.Argument(help="The stack's name.", autocompletion=_stack_names)]


@app.callback()
def _review() -> None:
    """Previews for pull requests, and what is said about them on GitHub."""


@app.command()
def stacks(
    base: Annotated[
        str | None,
        typer.Argument(
            help="The revision to compare with; without one, or with one that git does not have (as after a "
            "forced push), every stack is printed.",
        ),
    ] = None,
    head: Annotated[str, typer.Argument(help="The revision that changes it.")] = "HEAD",
    *,
    among: Annotated[
        str | None,
        typer.Option(envvar="RAYFORT_STACKS", help="Only of these stacks; names with blanks between them."),
    ] = None,
    stage: Annotated[
        Stage | None, typer.Option(help="Only those for this, as the policies take their names.")
    ] = None,
    github_output: Annotated[
        str | None, typer.Option(metavar="NAME", help="Write NAME=... into $GITHUB_OUTPUT instead.")
    ] = None,
) -> None:
    """Print the stacks that a change affects, as a JSON list for a workflow's matrix."""
    from rayfort.policies.catalog import stage_of

    from cli.review_files import changed_stacks
    from cli.stacks import StackFileError, names

    try:
        chosen = changed_stacks(ROOT, base, head)
        unknown = sorted({*(among or "").split()} - {*names(ROOT)})
    except StackFileError as error:
        raise _failure(error) from None
    if unknown:
        raise _failure(f"RAYFORT_STACKS or --among: there is no stack {unknown[0]!r}")
    found = [
        stack
        for stack in chosen
        if (among is None or stack in among.split()) and (stage is None or stage_of(stack) is stage)
    ]
    line = json.dumps(found)
    if github_output:
        with Path(os.environ["GITHUB_OUTPUT"]).open("a", encoding="utf-8") as file:
            file.write(f"{github_output}={line}\n")
    print(line)


@app.command()
def preview(
    stack: Stack,
    output: Output = None,
    events: Annotated[Path | None, typer.Option(help="Keep the engine's events in this file.")] = None,
    refresh: Annotated[
        bool, typer.Option("--refresh", help="Look at what is really there first, which finds drift.")
    ] = False,
    expect_no_changes: Annotated[
        bool, typer.Option("--expect-no-changes", help="Exit with 3 if `up` would change anything.")
    ] = False,
) -> None:
    """Preview a stack in its own backend, with the policy pack, and keep what a reviewer should know.

    Backend and credentials are the environment's, as for `pulumi preview`; reading is enough for them. The
    file holds no secret and no more than the comment needs; --events keeps whole states, without secrets.
    """
    from pulumi.automation import EngineEvent
    from rayfort.review.events import write
    from rayfort.review.model import to_json
    from rayfort.review.summarize import summarize

    from cli import preview_run
    from cli.messages import progress
    from cli.stacks import StackFileError
    from sandbox.toolchain import Toolchain

    shown = progress()
    pulumi = Toolchain(progress=shown).ensure(["pulumi"])["pulumi"]
    heard: list[EngineEvent] = []
    try:
        with shown.step(f"Preview {stack}"):
            ended = preview_run.preview(
                preview_run.target(ROOT, stack, pulumi), heard.append, refresh=refresh
            )
    except StackFileError as error:
        raise _failure(error) from None
    if events:
        events.write_text("".join(f"{write(event)}\n" for event in heard), encoding="utf-8")
    made = summarize(heard, stack, failed=ended.failed, said=ended.said)
    _write(to_json([made]), output)
    _exit([made], expect_no_changes=expect_no_changes)


@app.command()
def deploy(stack: Stack) -> None:
    """Bring a stack to what its file says, with the policy pack; for a workflow after a merge.

    The same as `pulumi up --yes --policy-pack policies`, without Pulumi's language plugin.
    """
    from cli import preview_run
    from cli.messages import progress
    from cli.stacks import StackFileError
    from sandbox.toolchain import Toolchain

    pulumi = Toolchain(progress=progress()).ensure(["pulumi"])["pulumi"]
    try:
        target = preview_run.target(ROOT, stack, pulumi)
    except StackFileError as error:
        raise _failure(error) from None
    ended = preview_run.up(target, lambda _: None, lambda line: print(line, flush=True))
    if ended.failed:
        raise typer.Exit(exits.FAILED)


@app.command()
def read(
    stack: Stack,
    events: Annotated[Path, typer.Argument(help="The engine's events, as JSON, one a line.")],
    output: Output = None,
) -> None:
    """Keep what a reviewer should know of events that Pulumi's own command line wrote.

    They come from `pulumi preview --json` with PULUMI_ENABLE_STREAMING_JSON_PREVIEW=true.
    """
    from rayfort.review.events import EventsError
    from rayfort.review.events import read as parse
    from rayfort.review.model import to_json
    from rayfort.review.summarize import summarize

    try:
        with events.open(encoding="utf-8") as lines:
            made = summarize(parse(lines), stack)
    except (EventsError, OSError, UnicodeDecodeError) as error:
        raise _failure(f"{events}: {error}") from None
    _write(to_json([made]), output)
    _exit([made])


@app.command()
def comment(
    reviews: Reviews,
    *,
    output: Output = None,
    pull_request: Annotated[
        int | None, typer.Option(min=1, help="Write or update the comment on this pull request.")
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(
            metavar="OWNER:BRANCH",
            help="Instead of a number: the branch whose newest commit is --commit.",
        ),
    ] = None,
    repository: Repository = "",
    commit: Commit = "",
    expected: Expected = "[]",
    unvouched: Annotated[
        bool,
        typer.Option(
            envvar="RAYFORT_UNVOUCHED",
            help="The files come from code that nobody vouched for: say so, and exit with 0 in any case.",
        ),
    ] = False,
) -> None:
    """Print the comment about some stacks, or put it on a pull request.

    The token is taken from GITHUB_TOKEN. A comment that is there already is changed in place.
    """
    from rayfort.review.comment import MARKER
    from rayfort.review.comment import comment as render
    from rayfort.review.github import GitHubError

    read_ones = _read(reviews, expected, unvouched=unvouched)
    body = render(read_ones, commit=commit, where=_run())
    _write(body, output, quiet=bool(pull_request or head))
    if pull_request or head:
        try:
            github = _github(repository)
            number = pull_request
            if head:
                owner, _, branch = head.partition(":")
                number = github.pull_request(owner, branch, commit)
            if number is None:
                print(
                    "rayfort: no open pull request is at that commit any more; nothing to do", file=sys.stderr
                )
            else:
                done = github.put_comment(number, body, MARKER, create=bool(read_ones))
                print(f"comment {done}", file=sys.stderr)
        except GitHubError as error:
            raise _failure(error, exits.FAILED) from None
    if not unvouched:
        _exit(read_ones)


@app.command()
def drift(
    reviews: Reviews,
    *,
    output: Output = None,
    post: Annotated[bool, typer.Option("--post", help="Open, update or close the issue on GitHub.")] = False,
    repository: Repository = "",
    commit: Commit = "",
    expected: Expected = "[]",
) -> None:
    """Say what has drifted, and keep one issue about it: opened, updated, and closed when all is clean."""
    from rayfort.review.comment import DRIFT_MARKER
    from rayfort.review.drift import decide
    from rayfort.review.github import GitHubError

    read_ones = _read(reviews, expected)
    if not read_ones:
        raise _failure("no stack was looked at, which says nothing about drift")
    decision = decide(read_ones, commit=commit, where=_run())
    _write(f"{decision.body.rstrip()}\n", output, quiet=post)
    if post:
        try:
            github = _github(repository)
            if decision.keep_open:
                done = github.put_issue(decision.title, decision.body, DRIFT_MARKER)
            else:
                done = github.close_issue(decision.body, DRIFT_MARKER)
            print(f"issue {done}", file=sys.stderr)
        except GitHubError as error:
            raise _failure(error, exits.FAILED) from None
    _exit(read_ones, expect_no_changes=True)


def _read(files: list[Path], expected: str, *, unvouched: bool = False) -> "list[Review]":
    from rayfort.review.model import ReviewError

    from cli.review_files import read_all

    try:
        return read_all(files, expected, unvouched=unvouched)
    except (OSError, ReviewError, UnicodeDecodeError) as error:
        raise _failure(error) from None


def _run() -> str:
    """Where a workflow's run shows what a comment leaves out."""
    names = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
    server, repository, run = (os.environ.get(name, "") for name in names)
    return (
        f"the artifacts of {server}/{repository}/actions/runs/{run}" if server and repository and run else ""
    )


def _github(repository: str) -> "GitHub":
    from rayfort.review.github import API, GitHub

    token = os.environ.get(TOKEN, "")
    if not token or not repository:
        raise _failure(f"set {TOKEN} and name --repository OWNER/NAME, as GitHub's own workflows do")
    return GitHub(repository, token, os.environ.get("GITHUB_API_URL", API))


def _write(text: str, output: Path | None, *, quiet: bool = False) -> None:
    if output:
        output.write_text(text, encoding="utf-8")
    elif not quiet:
        sys.stdout.write(text)


def _failure(error: object, code: int = exits.USAGE) -> typer.Exit:
    print(f"rayfort: {error}", file=sys.stderr)
    return typer.Exit(code)


def _exit(reviews: "list[Review]", *, expect_no_changes: bool = False) -> None:
    if any(review.failed for review in reviews):
        raise typer.Exit(exits.FAILED)
    if expect_no_changes and any(review.changes for review in reviews):
        raise typer.Exit(exits.CHANGES)
