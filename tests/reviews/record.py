"""Records the engine's events of real previews: ``python -m tests.reviews.record [NAME ...]``.

It brings a sandbox of its own up (simulated nodes), previews what `scenarios.py` lists, and writes
`recordings/`. Names record only those; the sandbox is the same.
"""

import gzip
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pulumi.automation as auto
import yaml
from rayfort.review.events import write

from cli.preview_run import Target, preview
from infra import program
from sandbox import engine
from sandbox.environment import Environment
from sandbox.node_kind import NodeKind
from sandbox.progress import Progress
from tests.reviews.scenarios import SCENARIOS, Scenario
from tests.reviews.scrub import scrub

ROOT: Final = Path(__file__).resolve().parents[2]
RECORDINGS: Final = Path(__file__).parent / "recordings"
COMMENTS: Final = Path(__file__).parent / "comments"
ORDER: Final = ("empty", "up", "drifted", "stopped")
DRIFT: Final = (
    ("-n", "team-a", "delete", "service", "ray-headless-svc"),
    (
        *("-n", "istio-system", "patch", "peerauthentication", "default"),
        *("--type=merge", "-p", '{"spec":{"mtls":{"mode":"PERMISSIVE"}}}'),
    ),
)


def events_of(scenario: Scenario, target: Target, settings: Mapping[str, Any]) -> list[str]:
    """The events of a scenario's preview, as they are.

    Raises:
        AssertionError: if it does not end as the scenario says.
    """
    heard: list[auto.EngineEvent] = []
    changed = Target(
        root=target.root,
        stack=target.stack,
        settings=yaml.safe_dump(scenario.settings(settings), sort_keys=False),
        pulumi=target.pulumi,
        environment=target.environment,
        program=_breaking(target, scenario.breaks) if scenario.breaks else target.program,
    )
    ended = preview(changed, heard.append, refresh=scenario.when != "empty")
    assert ended.failed is scenario.fails, f"{scenario.name}: {ended.said}"
    return [write(event) for event in heard]


def _breaking(target: Target, reason: str) -> Any:
    def run() -> None:
        target.program()
        raise RuntimeError(reason)

    return run


def keep(name: str, lines: list[str], paths: Mapping[str, str]) -> Path:
    """Write a recording; the same events give the same bytes."""
    file = RECORDINGS / f"{name}.jsonl.gz"
    text = "".join(f"{line}\n" for line in scrub(lines, paths))
    file.write_bytes(gzip.compress(text.encode(), mtime=0))
    return file


def load(name: str) -> list[str]:
    """The lines of a recording."""
    return gzip.decompress((RECORDINGS / f"{name}.jsonl.gz").read_bytes()).decode().splitlines()


def paths_of(state: Path) -> dict[str, str]:
    """What stands for the paths of this machine."""
    venv = {sys.prefix: "/checkout/.rayfort/venv"}
    return {**venv, str(state): "/sandbox", str(ROOT): "/checkout", str(Path.home()): "/home/user"}


def _target(environment: Environment) -> tuple[Target, dict[str, Any]]:
    progress = Progress(quiet=True)
    tools = {name: environment.tool(name) for name in ("pulumi", "helm")}
    made = engine.prepare(environment.state, ROOT, tools, environment.endpoints.api_server, progress)
    settings = made.home / "project" / "Pulumi.sandbox.yaml"
    return (
        Target(
            ROOT, "sandbox", "", made.home / "bin" / "pulumi", made.environment, lambda: program.main(ROOT)
        ),
        yaml.safe_load(settings.read_text()),
    )


def main(names: list[str]) -> None:
    """Record the named scenarios, or all."""
    chosen = [scenario for scenario in SCENARIOS if not names or scenario.name in names]
    with tempfile.TemporaryDirectory(prefix="rayfort-recordings-") as place:
        environment = Environment(ROOT, Progress(), state=Path(place) / "sandbox")
        try:
            for when in ORDER:
                _arrive(environment, when)
                for scenario in (each for each in chosen if each.when == when):
                    target, settings = _target(environment)
                    file = keep(
                        scenario.name, events_of(scenario, target, settings), paths_of(environment.state)
                    )
                    print(f"{scenario.name}: {file.stat().st_size} bytes", flush=True)
        finally:
            environment.down(force=True)


def _arrive(environment: Environment, when: str) -> None:
    if when == "empty":
        environment.preview()
    elif when == "up":
        environment.up(NodeKind.SIMULATED)
    elif when == "stopped":
        environment.stop()
    else:
        kubectl = [str(environment.tool("kubectl")), "--kubeconfig", str(environment.kubeconfig)]
        for arguments in DRIFT:
            subprocess.run([*kubectl, *arguments], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    main(sys.argv[1:])
