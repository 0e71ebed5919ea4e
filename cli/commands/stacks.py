"""The commands on a stack: what it would create, what it lacks, and whether what it made is secure."""

from pathlib import Path
from typing import Annotated

import typer

from cli import exits
from cli.commands.common import ROOT, Json, fail, find_environment, out, stack_names

app = typer.Typer()


def _names_and_revisions() -> list[str]:
    return [*stack_names(), "main", "HEAD", "."]


@app.command()
def plan(
    stack: Annotated[
        str,
        typer.Argument(
            help="The stack's name; with a second argument, a stack or a revision.",
            autocompletion=_names_and_revisions,
        ),
    ],
    other: Annotated[
        str | None,
        typer.Argument(
            help="What to compare it with: another stack, or another revision (. is the working tree).",
            autocompletion=_names_and_revisions,
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
            autocompletion=stack_names,
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
            fail(
                "--stack, --markdown and --diff compare two revisions or stacks; name a second one",
                exits.USAGE,
            )
        raise typer.Exit(
            show(ROOT, stack, json_output=as_json, manifests=manifests, force=force, console=out)
        )
    from cli.plan_difference import Shown, difference

    shown = Shown(json=as_json, markdown=markdown, manifests=manifests, diff=diff, force=force)
    raise typer.Exit(difference(ROOT, stack, other, stacks=only or (), shown=shown, console=out))


@app.command()
def graph(
    stack: Annotated[str, typer.Argument(help="The stack's name.", autocompletion=stack_names)] = "sandbox",
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
    stack: Annotated[str | None, typer.Argument(help="The stack's name.", autocompletion=stack_names)] = None,
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
    stack: Annotated[str, typer.Argument(help="The stack's name.", autocompletion=stack_names)] = "sandbox",
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
            sandbox=find_environment().kubeconfig if own else None,
            console=out,
            progress=progress(),
            chosen=check or (),
            probe=probe,
            files=conformance.Files(as_json, junit, html),
            kubeconfig=kubeconfig,
            context=kube_context,
        )
    )
