"""`verify`: proof that a platform is as secure as Rayfort says, from what is deployed."""

import os
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rayfort.cluster.kubeconfig import KubeconfigError
from rayfort.cluster.kubeconfig import check as check_kubeconfig
from rayfort.conformance import Check, Report, Status, Verdict, judge
from rayfort.conformance.checks import ALL
from rayfort.conformance.cluster import ClusterError, Connection
from rayfort.conformance.collect import observe
from rayfort.conformance.kube import KubernetesConnection
from rayfort.conformance.render import to_html, to_json, to_junit
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cli import exits
from cli.offline import settings_of
from cli.stacks import MASK, StackFileError, load
from infra.cluster_settings import ExistingClusterSettings
from infra.problems import SettingsError
from sandbox.control_plane import CONTEXT
from sandbox.progress import Progress
from sandbox.stack import STACK

STANDARD_OUTPUT: Final = "-"
UNLIMITED: Final = 100_000
_STYLES: Final = {Status.PASS: "green", Status.FAIL: "bold red", Status.NOT_RUN: "yellow"}


@dataclass(frozen=True)
class Files:
    """Where reports go; None for nowhere, and ``-`` for standard output."""

    json: str | None = None
    junit: str | None = None
    html: str | None = None

    @property
    def wanted(self) -> list[tuple[str, str]]:
        """The kind and the place of each."""
        kinds = (("json", self.json), ("junit", self.junit), ("html", self.html))
        return [(kind, place) for kind, place in kinds if place is not None]


class Usage(ValueError):
    """The command line asks for something that there is not; the message says what there is."""


def is_sandbox(stack: str) -> bool:
    """Whether a stack is the sandbox's."""
    return stack == STACK


def names() -> list[str]:
    """The checks' names, for a shell."""
    return list(ALL)


def verify(
    root: Path,
    stack: str,
    *,
    sandbox: Path | None,
    console: Console,
    progress: Progress,
    chosen: Sequence[str] = (),
    probe: bool | None = None,
    files: Files = Files(),
    kubeconfig: Path | None = None,
    context: str | None = None,
) -> int:
    """Verify a stack's platform.

    Args:
        root: the project's directory.
        stack: the stack's name.
        sandbox: the sandbox's kubeconfig, where it is the sandbox that is verified.
        console: where to print.
        progress: where it is shown what is being looked at.
        chosen: the names of the checks; all of them by default.
        probe: whether to make the probe's Pods; by default on the sandbox alone.
        files: where reports go.
        kubeconfig, context: instead of what the stack's settings say; both or none.

    Returns:
        0; 1 where a check failed, or the cluster cannot be looked at; 2 for wrong usage or settings.
    """
    try:
        checks = choose(chosen)
        places = _writable(files)
        content, used, local = _access(root, stack, sandbox, kubeconfig, context)
    except (Usage, StackFileError, SettingsError) as error:
        print(f"rayfort: {error}", file=sys.stderr)
        return exits.USAGE
    # Pods are made for the checks that take them alone.
    wanted = {check.probe for check in checks if check.probe}
    tried = wanted if (local if probe is None else probe) else set()
    try:
        connection = KubernetesConnection(content, used, direct=local)
        report = examine(connection, checks, progress, tried)
    except ClusterError as error:
        print(f"rayfort: {error}", file=sys.stderr)
        return exits.FAILED
    for kind, place in places:
        text = {"json": to_json, "junit": to_junit, "html": to_html}[kind](report)
        if place == STANDARD_OUTPUT:
            console.out(text, end="" if text.endswith("\n") else "\n", highlight=False)
        else:
            Path(place).write_text(text, encoding="utf-8")
    if STANDARD_OUTPUT not in [place for _, place in places]:
        show(console, shown(report))
        for kind, place in places:
            console.print(f"Wrote {kind} to {escape(place)}.", highlight=False, soft_wrap=True)
    return exits.FAILED if report.failed else 0


def examine(
    connection: Connection, checks: Sequence[Check], progress: Progress, probes: Collection[str]
) -> Report:
    """Look at a cluster and judge what was seen.

    Raises:
        ClusterError: if it does not answer, or has nothing of Rayfort.
    """
    with progress.step(f"Verify context {connection.context}") as step:
        seen = observe(connection, probes=probes, note=step.note)
    return judge(seen, checks, probe=bool(probes))


def choose(chosen: Sequence[str]) -> list[Check]:
    """The checks of these names; all of them for none.

    Raises:
        Usage: if there is no such check.
    """
    for name in chosen:
        if name not in ALL:
            raise Usage(f"there is no check {name!r}; `./rayfort verify --list` shows them all")
    return [check for name, check in ALL.items() if not chosen or name in chosen]


def _writable(files: Files) -> list[tuple[str, str]]:
    """The reports to write.

    Raises:
        Usage: if one of them cannot be written; that is said before anything is looked at.
    """
    places = files.wanted
    if [place for _, place in places].count(STANDARD_OUTPUT) > 1:
        raise Usage("only one report fits on standard output; name files for the others")
    for kind, place in places:
        if place == STANDARD_OUTPUT:
            continue
        folder = Path(place).absolute().parent
        if Path(place).is_dir() or not folder.is_dir() or not os.access(folder, os.W_OK):
            raise Usage(f"--{kind} {place}: cannot be written; name a file in a directory that exists")
    return places


def _access(
    root: Path, stack: str, sandbox: Path | None, kubeconfig: Path | None, context: str | None
) -> tuple[str, str, bool]:
    """The kubeconfig's content, the context in it, and whether it is the sandbox's.

    Raises:
        Usage, StackFileError, SettingsError: where there is none.
    """
    if (kubeconfig is None) != (context is None):
        raise Usage("--kubeconfig and --context go together: the ambient context is never used")
    if kubeconfig is not None and context is not None:
        try:
            return check_kubeconfig(kubeconfig.read_text(encoding="utf-8"), context), context, False
        except KubeconfigError as error:
            raise Usage(f"--kubeconfig {kubeconfig} {error}") from None
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            raise Usage(f"--kubeconfig {kubeconfig}: {reason}; name a kubeconfig file") from None
    file = load(root, stack)
    if sandbox is not None:
        if not sandbox.exists():
            raise Usage("the sandbox has never been started here; run `./rayfort up`")
        return sandbox.read_text(), CONTEXT, True
    cluster = settings_of(file).cluster
    given = cluster.kubeconfig if isinstance(cluster, ExistingClusterSettings) else None
    masked = given is not None and given.get_secret_value() == MASK
    if not isinstance(cluster, ExistingClusterSettings) or cluster.stack or masked:
        raise Usage(
            f"the kubeconfig of stack {stack} is not in a file that can be read here; hand it over with "
            "--kubeconfig FILE --context NAME"
        )
    return cluster.read_kubeconfig(root).get_secret_value(), cluster.context, False


def show(console: Console, lines: Iterable[Table | Text]) -> None:
    """Print in the width of a terminal; elsewhere one line for each row, so that it can be searched."""
    if not console.is_terminal:
        console = Console(file=console.file, width=UNLIMITED, color_system=None, highlight=False)
    for line in lines:
        console.print(line, soft_wrap=not isinstance(line, Table))


def listing() -> Table:
    """Every check with what it proves."""
    table = Table(box=None, pad_edge=False)
    for column in ("CHECK", "WHAT HOLDS", "PROVES"):
        table.add_column(column, overflow="fold")
    for check in ALL.values():
        table.add_row(check.name, check.title, check.proves)
    return table


def shown(report: Report) -> Iterator[Table | Text]:
    """The report for a terminal: a table for each place, and what to do about failures."""
    facts = {**report.cluster, **{f"{name} version": value for name, value in report.versions.items()}}
    yield Text(", ".join(f"{name} {value}" for name, value in facts.items()), "dim")
    for place, verdicts in report.places.items():
        table = Table(title=Text(place, "bold"), title_justify="left", box=None, pad_edge=False)
        table.add_column("STATUS", no_wrap=True)
        table.add_column("CHECK", no_wrap=True)
        table.add_column("", overflow="fold", ratio=1)
        for verdict in verdicts:
            status = Text(verdict.status.value, _STYLES[verdict.status])
            table.add_row(status, verdict.check.name, _detail(verdict))
        yield table
    yield Text(_summary(report), "bold red" if report.failed else "bold")


def _detail(verdict: Verdict) -> Text:
    if verdict.status is Status.PASS:
        return Text(verdict.check.title, "dim")
    text = Text("\n".join(verdict.details))
    if verdict.status is Status.FAIL:
        text.append(f"\nWhat to do: {verdict.check.remedy}.", "cyan")
    return text


def _summary(report: Report) -> str:
    counts = report.counts
    return f"{counts[Status.PASS]} passed, {counts[Status.FAIL]} failed, {counts[Status.NOT_RUN]} not run"
