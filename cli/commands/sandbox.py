"""The commands on the sandbox and on what runs on it."""

import os
from typing import Annotated

import typer

from cli import exits
from cli.commands.common import PASS_THROUGH, Json, fail, find_environment, interruptible, out
from sandbox.image_source import ImageSource
from sandbox.node_kind import NodeKind

app = typer.Typer()


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

    environment = find_environment(starts=True, nodes=nodes)
    report = interruptible(lambda: environment.up(nodes, images))
    out.print(summary(report, environment), markup=False, highlight=False)


@app.command()
def preview(
    expect_no_changes: Annotated[
        bool, typer.Option("--expect-no-changes", help="Exit with 3 if `up` would change anything.")
    ] = False,
    diff: Annotated[bool, typer.Option("--diff", help="Show each change in full.")] = False,
) -> None:
    """Show what `up` would change on the running sandbox."""
    environment = find_environment()
    changes = interruptible(
        lambda: environment.preview(on_output=lambda line: print(line, flush=True), diff=diff)
    )
    out.print(f"Preview: {changes.summary}.")
    if expect_no_changes and changes.any:
        raise typer.Exit(exits.CHANGES)


@app.command()
def down(
    force: Annotated[
        bool,
        typer.Option("--force", help="Do not delete the objects one by one first; for a broken sandbox."),
    ] = False,
) -> None:
    """Remove every object, process and file of the sandbox."""
    removed = interruptible(lambda: find_environment().down(force=force))
    if removed:
        out.print("The sandbox is gone.")


@app.command()
def stop() -> None:
    """End the sandbox's processes and keep its data; `up` goes on from there."""
    find_environment().stop()


@app.command()
def status(as_json: Json = False) -> None:
    """Show the sandbox's processes and Ray clusters."""
    from cli.messages import status_json, status_table

    environment = find_environment()
    if as_json:
        print(status_json(environment))
    else:
        out.print(status_table(environment))


@app.command()
def kubeconfig() -> None:
    """Print the path of the sandbox's kubeconfig: export KUBECONFIG=$(./rayfort kubeconfig)."""
    path = find_environment().kubeconfig
    if not path.exists():
        fail("the sandbox has never been started here; run `./rayfort up`")
    print(path)


@app.command(context_settings=PASS_THROUGH)
def kubectl(context: typer.Context) -> None:
    """Run kubectl against the sandbox."""
    from sandbox.proxies import direct

    environment = find_environment()
    if not environment.kubeconfig.exists():
        fail("the sandbox has never been started here; run `./rayfort up`")
    tool = environment.tool("kubectl")
    variables = direct(os.environ, environment.endpoints.api_server)
    os.execve(  # noqa: S606
        tool, [str(tool), *context.args], {**variables, "KUBECONFIG": str(environment.kubeconfig)}
    )


def _ray_namespaces() -> list[str]:
    from cli.ray import completions

    return completions(find_environment().kubeconfig)[0]


def _ray_clusters() -> list[str]:
    from cli.ray import completions

    return completions(find_environment().kubeconfig)[1]


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
        raise typer.Exit(exits.USAGE)
    kubeconfig = find_environment().kubeconfig
    if not kubeconfig.exists():
        fail("the sandbox has never been started here; run `./rayfort up`")
    raise typer.Exit(run(kubeconfig, context.args, progress(), cluster=cluster, namespace=namespace))
