"""`plan`: what a stack would create, as a tree, as JSON or as manifests."""

import json
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

from cli import exits
from cli import manifests as manifest_files
from cli.highlights import highlights, label
from cli.offline import Json, Plan, Resource
from cli.offline import plan as make
from cli.stacks import MASK, StackFileError, load
from infra.problems import SettingsError

FORMAT: Final = 1
UNLIMITED: Final = 100_000


def plan(
    root: Path,
    stack: str,
    *,
    json_output: bool,
    manifests: Path | None,
    force: bool,
    console: Console,
) -> int:
    """Show what a stack would create.

    Args:
        root: the project's directory.
        stack: the stack's name.
        json_output: print JSON instead of a tree.
        manifests: a directory for the Kubernetes objects as YAML, instead of a tree.
        force: let ``manifests`` be a directory that holds other files as well; they stay.
        console: where to print.

    Returns:
        0; 1 where `up` would fail; 2 where the stack, its settings or the directory is wrong.
    """
    try:
        made = make(load(root, stack))
        if manifests is not None:
            files = manifest_files.render(made)
            manifest_files.write(files, manifests, force=force)
    except (StackFileError, SettingsError, manifest_files.ManifestsError) as error:
        print(f"rayfort: {error}", file=sys.stderr)
        return exits.USAGE
    except OSError as error:
        reason = error.strerror or "it cannot be written"
        print(f"rayfort: {manifests}: {reason}; name another directory", file=sys.stderr)
        return exits.FAILED
    if json_output:
        console.out(to_json(made), highlight=False)
    elif manifests is not None:
        wrote = Text(f"Wrote {len(files)} manifests of stack {stack} into {manifests}.")
        console.print(wrote, soft_wrap=True)
        _print(console, _remarks(made))
    else:
        _print_tree(console, tree(made))
        if made.outputs:
            console.print(_outputs(made), soft_wrap=True)
        _print(console, _remarks(made))
    return exits.FAILED if made.problems else 0


def to_json(plan: Plan) -> str:
    """The plan as JSON. Within one ``format``, keys are only ever added."""
    return json.dumps(
        {
            "format": FORMAT,
            "stack": plan.stack,
            "resources": [_resource_json(resource) for resource in plan.resources],
            "outputs": plan.outputs,
            "weakened": list(plan.weakened),
            "notes": list(plan.notes),
            "problems": list(plan.problems),
        },
        indent=2,
        ensure_ascii=False,
    )


def _resource_json(resource: Resource) -> Json:
    return {
        "path": resource.path,
        "type": resource.type,
        "name": resource.name,
        "role": resource.role,
        "component": resource.component,
        "inputs": resource.inputs,
        "secretKeys": list(resource.secret_keys),
        "unknownKeys": list(resource.unknown_keys),
        "dependsOn": list(resource.depends_on),
        "options": resource.options,
    }


def tree(plan: Plan) -> Tree:
    """The plan as a tree of components, each with the number of resources below it."""
    top = Tree(Text.assemble((plan.stack, "bold"), f": {_count(plan.resources)}"), guide_style="dim")
    branches: dict[str | None, Tree] = {None: top}
    for resource in plan.resources:
        branches[resource.path] = branches[resource.component].add(_line(resource, plan.resources))
    return top


def _line(resource: Resource, resources: Iterable[Resource]) -> Text:
    if resource.role == "component":
        below = sum(
            other.role != "component" and other.path.startswith(f"{resource.path}/") for other in resources
        )
        name = Text.assemble((label(resource), "bold cyan"), f" ({below})" if below else "")
    else:
        name = Text(label(resource))
    facts = highlights(resource)
    return name.append(f"  {'; '.join(facts)}", "dim") if facts else name


def _count(resources: Iterable[Resource]) -> str:
    roles = [resource.role for resource in resources]
    components = roles.count("component")
    return f"{len(roles) - components} resources in {components} components"


def _outputs(plan: Plan) -> Text:
    names = (f"{name} (secret)" if value == MASK else name for name, value in plan.outputs.items())
    return Text(f"Outputs: {', '.join(names)}")


def _remarks(plan: Plan) -> Iterator[Text]:
    """What a reader must not miss, the worst last: it stays in view."""
    for note in plan.notes:
        yield Text(f"Note: {note}", "dim")
    for line in plan.weakened:
        yield Text(f"Weakened: {line}", "yellow")
    for problem in plan.problems:
        yield Text(f"Problem: {problem}", "bold red")


def _print_tree(console: Console, shown: Tree) -> None:
    """On a terminal in its width; elsewhere one line for each resource, so that it can be searched."""
    if not console.is_terminal:
        console = Console(file=console.file, width=UNLIMITED, color_system=None, highlight=False)
    console.print(shown, soft_wrap=False)


def _print(console: Console, lines: Iterable[Text]) -> None:
    for line in lines:
        console.print(line, soft_wrap=True)
