"""Records what a version leaves behind: ``python -m tests.upgrades.record VERSION [CHECKOUT]``.

It brings the sandbox of a checkout up (simulated nodes), this one by default, and writes the stack file and
the engine's state into `states/VERSION/`. Only the checkout's own `./rayfort up` is asked for, so that older
versions can be recorded too. Secrets are encrypted as everywhere; the passphrase stands here, since
the sandbox that they are of is gone, and its kubeconfig with them.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml
from rayfort.cluster.kubeconfig import check

ROOT: Final = Path(__file__).resolve().parents[2]
STATES: Final = Path(__file__).parent / "states"
STACK: Final = "sandbox"
SECONDS: Final = 1800
PASSPHRASE: Final = "the sandbox of a recording is gone"
# What stands for the state directory and the checkout.
SANDBOX: Final = "/sandbox"
CHECKOUT: Final = "/checkout"
# Nobody is there: what a preview finds out about an upgrade, it finds out from the state.
KUBECONFIG: Final = check(
    """\
apiVersion: v1
kind: Config
clusters: [{name: rayfort-sandbox, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: rayfort-sandbox, context: {cluster: rayfort-sandbox, user: nobody}}]
users: [{name: nobody, user: {token: none}}]
""",
    "rayfort-sandbox",
)
# Who wrote which field, as the API server notes it; where in a program a resource was made.
_LEFT_OUT: Final = frozenset({"managedFields", "stackTrace", "sourcePosition"})


@dataclass(frozen=True)
class Recorded:
    """What a version left behind.

    Attributes:
        version: its name.
        stack: the text of the stack file, with its secrets encrypted.
        state: what `pulumi stack export` said.
    """

    version: str
    stack: str
    state: Mapping[str, Any]

    def settings(self, sandbox: Path, checkout: Path = ROOT) -> str:
        """The stack file with directories of this machine."""
        return self.stack.replace(SANDBOX, str(sandbox)).replace(CHECKOUT, str(checkout))

    @property
    def resources(self) -> list[dict[str, Any]]:
        """What is in the state."""
        return list(self.state["deployment"]["resources"])


def versions() -> list[str]:
    """The recorded versions."""
    return sorted(folder.name for folder in STATES.iterdir() if folder.is_dir())


def load(version: str) -> Recorded:
    """A recording."""
    folder = STATES / version
    state = json.loads(gzip.decompress((folder / "state.json.gz").read_bytes()))
    return Recorded(version, (folder / f"Pulumi.{STACK}.yaml").read_text(), state)


def record(version: str, checkout: Path, state: Path) -> Path:
    """Bring the sandbox of a checkout up, keep what it left, and take it down."""
    environment = {**os.environ, "RAYFORT_STATE": str(state), "RAYFORT_PLUGINS": "stand-in"}
    before_first_use(state)
    try:
        _run([str(checkout / "rayfort"), "up", "--nodes", "simulated"], environment)
        return keep(version, checkout, state)
    finally:
        _run([str(checkout / "rayfort"), "down", "--force"], environment)


def before_first_use(state: Path) -> None:
    """Choose the passphrase of a sandbox that is to be recorded."""
    (state / "engine").mkdir(mode=0o700, parents=True, exist_ok=True)
    file = state / "engine" / "passphrase"
    file.touch(mode=0o600)
    file.write_text(PASSPHRASE)


def keep(version: str, checkout: Path, state: Path) -> Path:
    """Write the recording of a sandbox that is up; its stack is of no use afterwards."""
    folder = STATES / version
    folder.mkdir(parents=True, exist_ok=True)
    paths = {str(state): SANDBOX, str(checkout): CHECKOUT}
    stack = (state / "engine" / "project" / f"Pulumi.{STACK}.yaml").read_text()
    exported = json.loads(pulumi(state, "stack", "export", "--show-secrets"))
    places = [*_kubeconfigs(exported["deployment"]["resources"])]
    scrubbed = json.dumps(_replaced(exported, {**dict.fromkeys(places, KUBECONFIG), **paths}))
    # The engine encrypts it again: nothing is written in plain text.
    pulumi(state, "stack", "import", told=scrubbed)
    encrypted = json.loads(pulumi(state, "stack", "export"))
    text = json.dumps(_slim(encrypted), separators=(",", ":"), sort_keys=True)
    (folder / "state.json.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    content = _replaced(yaml.safe_load(stack), paths)
    (folder / f"Pulumi.{STACK}.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return folder


def pulumi(state: Path, *arguments: str, told: str = "") -> str:
    """Pulumi's command line on the sandbox's stack; its output, which may hold secrets."""
    home = state / "engine"
    environment = {
        **os.environ,
        "PULUMI_BACKEND_URL": f"file://{home / 'backend'}",
        "PULUMI_CONFIG_PASSPHRASE": PASSPHRASE,
        "PULUMI_SKIP_UPDATE_CHECK": "true",
    }
    command = [str(home / "bin" / "pulumi"), *arguments, "--stack", STACK, "--non-interactive"]
    return _run(command, environment, home / "project", told)


def _run(command: list[str], environment: Mapping[str, str], place: Path = ROOT, told: str = "") -> str:
    done = subprocess.run(
        command,
        env=dict(environment),
        cwd=place,
        input=told,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=SECONDS,
    )
    return done.stdout


def _kubeconfigs(value: Any) -> Iterator[str]:
    """Every kubeconfig in a state, which says where the sandbox was."""
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _kubeconfigs(item)
    elif isinstance(value, list):
        for item in value:
            yield from _kubeconfigs(item)
    elif isinstance(value, str) and "client-key" in value:
        yield value if not value.startswith('"') else json.loads(value)


def _replaced(value: Any, texts: Mapping[str, str]) -> Any:
    """A value with other texts in it, also within texts that are JSON, as a secret's is."""
    if isinstance(value, dict):
        return {key: _replaced(item, texts) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, texts) for item in value]
    if not isinstance(value, str):
        return value
    for old, new in texts.items():
        value = value.replace(old, new).replace(json.dumps(old)[1:-1], json.dumps(new)[1:-1])
    return value


def _slim(value: Any) -> Any:
    """Without what nobody compares, which is most of a state."""
    if isinstance(value, dict):
        return {key: _slim(item) for key, item in value.items() if key not in _LEFT_OUT}
    return [_slim(item) for item in value] if isinstance(value, list) else value


def main(arguments: list[str]) -> None:
    """Record a version."""
    version, checkout = arguments[0], Path(arguments[1] if len(arguments) > 1 else ROOT).resolve()
    with tempfile.TemporaryDirectory(prefix="rayfort-recordings-") as place:
        folder = record(version, checkout, Path(place) / "sandbox")
    print(f"{folder}: {sum(file.stat().st_size for file in folder.iterdir())} bytes", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
