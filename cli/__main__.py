"""Rayfort's command line.

Exit codes: 0 success; 1 the operation failed; 2 wrong usage or malformed settings; 3 a preview with
--expect-no-changes found changes; 130 interrupted.
"""

import errno
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer
from rich.console import Console

from cli.bench import app as bench
from cli.documents import app as documents
from cli.review import app as review
from sandbox.image_source import ImageSource
from sandbox.node_kind import NodeKind

ROOT = Path(__file__).resolve().parent.parent
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_CHANGES = 3
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="rayfort",
    help="Secure Ray on Kubernetes. `up` runs the whole platform on the embedded sandbox.",
    epilog="Exit codes: 0 success; 1 failed; 2 wrong usage or settings; 3 changes found; 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(bench, name="bench")
app.add_typer(review, name="review")
app.add_typer(documents, name="docs")
out = Console(soft_wrap=True)
T = TypeVar("T")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


class Interrupted(Exception):
    """Ctrl-C, as an exception that typer leaves to `main`."""


def _environment(*, starts: bool = False, nodes: NodeKind | None = None) -> Any:
    """The sandbox. A command on one that is root's goes on as root.

    Args:
        starts: whether the command starts a sandbox where there is none.
        nodes: the kind of nodes that it starts.
    """
    from cli.messages import progress
    from sandbox import elevate
    from sandbox.environment import STATE_DIRECTORY, Environment
    from sandbox.host import why_not_real

    elsewhere = os.environ.get("RAYFORT_STATE")
    state = Path(elsewhere).absolute() if elsewhere else ROOT / STATE_DIRECTORY
    if (starts or state.exists()) and elevate.needed(state, nodes, lambda: why_not_real(state), os.geteuid()):
        elevate.run_as_root(ROOT / "rayfort", sys.argv[1:])
    return Environment(ROOT, progress(), state=state)


def _interruptible(work: Callable[[], T]) -> T:
    """Run `work` so that one Ctrl-C lets Pulumi finish what it is doing and stop by itself.

    The engine is in the same process group and gets the signal as well; leaving it at once would strand
    half-made objects. A second Ctrl-C leaves.
    """
    result: list[T] = []
    failure: list[BaseException] = []

    def run() -> None:
        try:
            result.append(work())
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    interrupted = False
    while thread.is_alive():
        try:
            thread.join(0.2)
        except KeyboardInterrupt:
            if interrupted:
                raise Interrupted from None
            interrupted = True
            print("rayfort: stopping; once more to leave at once", file=sys.stderr)
    if interrupted:
        raise Interrupted
    if failure:
        raise failure[0]
    return result[0]


@app.command()
def up(
    nodes: Annotated[
        NodeKind | None,
        typer.Option(
            help="real: containers run, which takes Linux and root. simulated: a control plane alone. By "
            "default the sandbox's own kind, or the best that this machine can do.",
        ),
    ] = None,
    images: Annotated[
        ImageSource | None,
        typer.Option(
            help="For real nodes. local: the platform's images are made here from packages. registry: the "
            "official ones are pulled, with your docker logins. By default as the sandbox has it, or local.",
        ),
    ] = None,
) -> None:
    """Bring the sandbox and the platform on it up; run it again to repair or to go on."""
    from cli.messages import summary

    environment = _environment(starts=True, nodes=nodes)
    report = _interruptible(lambda: environment.up(nodes, images))
    out.print(summary(report, environment), markup=False, highlight=False)


@app.command()
def preview(
    expect_no_changes: Annotated[
        bool, typer.Option("--expect-no-changes", help="Exit with 3 if `up` would change anything.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show each change in full.")] = False,
) -> None:
    """Show what `up` would change on the running sandbox."""
    environment = _environment()
    changes = _interruptible(
        lambda: environment.preview(on_output=lambda line: print(line, flush=True), diff=diff)
    )
    out.print(f"Preview: {changes.summary}.")
    if expect_no_changes and changes.any:
        raise typer.Exit(EXIT_CHANGES)


@app.command()
def down(
    force: Annotated[
        bool,
        typer.Option("--force", help="Do not delete the objects one by one first; for a broken sandbox."),
    ] = False,
) -> None:
    """Remove every object, process and file of the sandbox."""
    removed = _interruptible(lambda: _environment().down(force=force))
    if removed:
        out.print("The sandbox is gone.")


@app.command()
def stop() -> None:
    """End the sandbox's processes and keep its data; `up` goes on from there."""
    _environment().stop()


@app.command()
def status(as_json: Json = False) -> None:
    """Show the sandbox's processes and Ray clusters."""
    from cli.messages import status_json, status_table

    environment = _environment()
    if as_json:
        print(status_json(environment))
    else:
        out.print(status_table(environment))


@app.command()
def kubeconfig() -> None:
    """Print the path of the sandbox's kubeconfig: export KUBECONFIG=$(./rayfort kubeconfig)."""
    path = _environment().kubeconfig
    if not path.exists():
        _fail("the sandbox has never been started here; run `./rayfort up`")
    print(path)


@app.command(context_settings=PASS_THROUGH)
def kubectl(context: typer.Context) -> None:
    """Run kubectl against the sandbox."""
    from sandbox.proxies import direct

    environment = _environment()
    if not environment.kubeconfig.exists():
        _fail("the sandbox has never been started here; run `./rayfort up`")
    tool = environment.tool("kubectl")
    variables = direct(os.environ, environment.endpoints.api_server)
    os.execve(  # noqa: S606
        tool, [str(tool), *context.args], {**variables, "KUBECONFIG": str(environment.kubeconfig)}
    )


def _ray_namespaces() -> list[str]:
    from cli.ray import completions

    return completions(_environment().kubeconfig)[0]


def _ray_clusters() -> list[str]:
    from cli.ray import completions

    return completions(_environment().kubeconfig)[1]


# From the first argument that is not ours, everything is Ray's, options as well.
@app.command(
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
    },
    options_metavar="[OPTIONS] [ARGUMENTS OF RAY]...",
    epilog="Example: ./rayfort ray job submit --working-dir . -- python job.py",
)
def ray(
    context: typer.Context,
    cluster: Annotated[
        str | None,
        typer.Option(help="The Ray cluster; by default the only one.", autocompletion=_ray_clusters),
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="Its namespace.", autocompletion=_ray_namespaces)
    ] = None,
) -> None:
    """Run Ray's own command line against a Ray cluster.

    Address and token are set for it; the first call installs Ray, in the cluster's version and outside of
    this project. The options below come before the arguments of ray.
    """
    from cli.messages import progress
    from cli.ray import ray as run

    if not context.args:
        print(context.get_help())
        raise typer.Exit(EXIT_USAGE)
    kubeconfig = _environment().kubeconfig
    if not kubeconfig.exists():
        _fail("the sandbox has never been started here; run `./rayfort up`")
    raise typer.Exit(run(kubeconfig, context.args, progress(), cluster=cluster, namespace=namespace))


# What runs on a real node waits more than it computes, so what does without one runs beside it.
ALL_TESTS: Final = ("--numprocesses=3", "--dist=loadgroup")


@app.command(context_settings=PASS_THROUGH)
def test(context: typer.Context) -> None:
    """Run all tests; with arguments, which go to pytest, only what they name."""
    arguments = context.args or ALL_TESTS
    done = subprocess.run([sys.executable, "-P", "-m", "pytest", *arguments], cwd=ROOT, check=False)
    raise typer.Exit(done.returncode)


def _stack_names() -> list[str]:
    from cli.stacks import names

    return names(ROOT)


def _stack_names_and_revisions() -> list[str]:
    from cli.stacks import names

    return [*names(ROOT), "main", "HEAD", "."]


@app.command()
def plan(
    stack: Annotated[
        str,
        typer.Argument(
            help="The stack's name; with a second argument, a stack or a revision.",
            autocompletion=_stack_names_and_revisions,
        ),
    ],
    other: Annotated[
        str | None,
        typer.Argument(
            help="What to compare it with: another stack, or another revision (. is the working tree).",
            autocompletion=_stack_names_and_revisions,
        ),
    ] = None,
    *,
    as_json: Json = False,
    manifests: Annotated[
        Path | None, typer.Option(help="Write the Kubernetes objects into this directory, as YAML.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write into a directory that holds other files; they stay.")
    ] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--stack",
            help="Of two revisions, this stack alone; may be repeated. By default all that differ.",
            autocompletion=_stack_names,
        ),
    ] = None,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Of a difference, the comment on a pull request.")
    ] = False,
    diff: Annotated[
        bool, typer.Option("--diff", help="Of a difference, the manifests line by line.")
    ] = False,
) -> None:
    """Show what a stack would create, or how two stacks or two revisions differ.

    It needs no engine, cluster or credentials. To compare revisions, the program of each one is run, without
    this shell's environment: do not compare revisions of people whose code you would not run.
    """
    if other is None:
        from cli.plan import plan as show

        if only or markdown or diff:
            _fail(
                "--stack, --markdown and --diff compare two revisions or stacks; name a second one",
                EXIT_USAGE,
            )
        raise typer.Exit(
            show(ROOT, stack, json_output=as_json, manifests=manifests, force=force, console=out)
        )
    from cli.plan_difference import Shown, difference

    shown = Shown(json=as_json, markdown=markdown, manifests=manifests, diff=diff, force=force)
    raise typer.Exit(difference(ROOT, stack, other, stacks=only or (), shown=shown, console=out))


@app.command()
def graph(
    stack: Annotated[str, typer.Argument(help="The stack's name.", autocompletion=_stack_names)] = "sandbox",
    *,
    resources: Annotated[
        bool, typer.Option("--resources", help="Draw every resource, not the components alone.")
    ] = False,
    svg: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write SVG instead of Mermaid; - for standard output.")
    ] = None,
) -> None:
    """Draw what a stack would create, as Mermaid or SVG; needs no engine, cluster or credentials.

    An arrow leads from what is made first to what is made after it; what follows from others is left out.
    """
    from cli.graph import graph as draw

    raise typer.Exit(draw(ROOT, stack, resources=resources, svg=svg))


@app.command()
def doctor(
    stack: Annotated[
        str | None, typer.Argument(help="The stack's name.", autocompletion=_stack_names)
    ] = None,
    as_json: Json = False,
) -> None:
    """Say what is missing on this machine for a stack, and what to do."""
    from cli.doctor import doctor as examine

    raise typer.Exit(examine(ROOT, stack, console=out, json_output=as_json))


def _check_names() -> list[str]:
    from cli.verify import names

    return names()


@app.command()
def verify(
    stack: Annotated[str, typer.Argument(help="The stack's name.", autocompletion=_stack_names)] = "sandbox",
    *,
    check: Annotated[
        list[str] | None,
        typer.Option(help="This check alone; may be repeated.", autocompletion=_check_names, metavar="NAME"),
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the checks and what each one proves.")] = False,
    probe: Annotated[
        bool | None,
        typer.Option(
            "--probe/--no-probe",
            help="Make two short-lived Pods, none in a workspace, that try out what others can reach. By "
            "default on the sandbox alone.",
        ),
    ] = None,
    as_json: Annotated[
        str | None, typer.Option("--json", metavar="FILE", help="Write JSON; - for standard output.")
    ] = None,
    junit: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write JUnit's XML; - for standard output.")
    ] = None,
    html: Annotated[
        str | None, typer.Option(metavar="FILE", help="Write one page to file; - for standard output.")
    ] = None,
    kubeconfig: Annotated[
        Path | None, typer.Option(help="The cluster's kubeconfig, instead of what the stack says.")
    ] = None,
    kube_context: Annotated[
        str | None, typer.Option("--context", help="The context in --kubeconfig; never the ambient one.")
    ] = None,
) -> None:
    """Verify that a stack's platform is as secure as Rayfort says, and write a report.

    It reads objects and asks the dashboards through port-forwards; nothing is changed. A check that could
    not run says why and is no pass; any failure is exit code 1.
    """
    from cli import verify as conformance
    from cli.messages import progress

    if listed:
        conformance.show(out, [conformance.listing()])
        return
    own = conformance.is_sandbox(stack) and kubeconfig is None
    raise typer.Exit(
        conformance.verify(
            ROOT,
            stack,
            sandbox=_environment().kubeconfig if own else None,
            console=out,
            progress=progress(),
            chosen=check or (),
            probe=probe,
            files=conformance.Files(as_json, junit, html),
            kubeconfig=kubeconfig,
            context=kube_context,
        )
    )


@app.command()
def schema(
    accept_breaks: Annotated[
        bool, typer.Option("--accept-breaks", help="Write the library's although programs may break by it.")
    ] = False,
) -> None:
    """Write two schemas anew: stacks/schema.json, which editors use, and that of the library's components."""
    from cli import library_schema
    from cli.schema import write_schema

    out.print(f"Wrote {write_schema(ROOT).relative_to(ROOT)}.")
    try:
        out.print(f"Wrote {library_schema.write(ROOT, accept_breaks=accept_breaks).relative_to(ROOT)}.")
    except library_schema.ApiBreak as error:
        _fail(str(error))


def _fail(message: str, code: int = EXIT_FAILED) -> None:
    print(f"rayfort: {message}", file=sys.stderr)
    raise typer.Exit(code)


# What a user can do where a file cannot be written, by the error's number.
_DISK: Final = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EFBIG: "allow larger files (ulimit -f)",
    errno.EROFS: "make the disk writable",
    errno.EACCES: "run it as the one whose files these are",
}


def main() -> None:
    """Run the command line; every expected failure is one message without a traceback."""
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    from infra.problems import SettingsError
    from sandbox.errors import EXPECTED

    try:
        app(prog_name="rayfort")
    except SettingsError as error:
        print(f"rayfort: {error}", file=sys.stderr)
        sys.exit(EXIT_USAGE)
    except EXPECTED as error:
        print(f"rayfort: {error}", file=sys.stderr)
        sys.exit(EXIT_FAILED)
    except OSError as error:
        if error.errno not in _DISK:
            raise
        print(f"rayfort: {error}; {_DISK[error.errno]}, then run the command again", file=sys.stderr)
        sys.exit(EXIT_FAILED)
    except (Interrupted, KeyboardInterrupt):
        print("rayfort: interrupted; run the command again to go on", file=sys.stderr)
        sys.exit(EXIT_INTERRUPTED)


if __name__ == "__main__":
    main()
