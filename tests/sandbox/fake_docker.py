"""A container runtime in name: answers what the real `kind` asks `docker`, and runs nothing.

Containers are entries of a JSON file. What would happen in a node is left out; the kubeconfig that kubeadm
would write there, and the port where the API server would be published, are those of another cluster.

`FAKE_DOCKER` names a directory of its own, with `admin.conf`. Files in it change what happens: `down`: the
daemon does not answer; `no-image`: nothing can be pulled; `hold`: `kubeadm init` does not end; `stopped`: no
container runs.
"""

import fcntl
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(os.environ["FAKE_DOCKER"])
LABEL = "io.x-k8s.kind.cluster"
ROLE = "io.x-k8s.kind.role"
DOWN = "Cannot connect to the Docker daemon at unix:///run/docker.sock. Is the docker daemon running?"
INFO = {
    "CgroupDriver": "systemd",
    "CgroupVersion": "2",
    "MemoryLimit": True,
    "PidsLimit": True,
    "CPUShares": True,
    "SecurityOptions": ["name=seccomp,profile=default"],
    "Driver": "overlay2",
    "DriverStatus": [["Backing Filesystem", "extfs"]],
    "MemTotal": 16 * 2**30,
}


class Failed(Exception):
    """What docker says on standard error before it ends with 1."""


@contextmanager
def state() -> Iterator[dict[str, Any]]:
    """Everything that there is; written back in the end."""
    path = HERE / "state.json"
    with (HERE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        known = json.loads(path.read_text()) if path.exists() else {}
        known = {"containers": {}, "networks": [], "images": [], "calls": []} | known
        yield known
        # Whole or not at all: whoever watches reads it at any moment.
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.write_text(json.dumps(known))
        draft.replace(path)


def container(known: dict[str, Any], name: str) -> dict[str, Any]:
    try:
        return known["containers"][name]
    except KeyError:
        raise Failed(f"Error response from daemon: No such container: {name}") from None


def options(arguments: Sequence[str], *names: str) -> list[str]:
    """The values of an option, written `--name value` or `--name=value`."""
    found = []
    for index, argument in enumerate(arguments):
        for name in names:
            if argument == name:
                found.append(arguments[index + 1])
            elif argument.startswith(f"{name}="):
                found.append(argument.removeprefix(f"{name}="))
    return found


def ps(arguments: Sequence[str]) -> Iterator[str]:
    wanted, _, value = options(arguments, "--filter")[0].removeprefix("label=").partition("=")
    with state() as known:
        for name, each in known["containers"].items():
            label = each["labels"].get(wanted)
            if label is None or (value and label != value):
                continue
            yield label if ".Label" in options(arguments, "--format")[0] else name


def run(arguments: Sequence[str]) -> Iterator[str]:
    [name] = options(arguments, "--name")
    with state() as known:
        if name in known["containers"]:
            raise Failed(f'Conflict. The container name "/{name}" is already in use')
        taken = [port for each in known["containers"].values() for port in each["ports"]]
        ports = [text.partition("/")[0] for text in options(arguments, "--publish")]
        for port in ports:
            if any(port.rpartition(":")[0] == other.rpartition(":")[0] for other in taken):
                raise Failed(f"Bind for {port.rpartition(':')[0]} failed: port is already allocated")
        labels = dict(text.split("=", 1) for text in options(arguments, "--label"))
        # Whatever is an image here has a version or a digest; options and their values do not.
        image = [text for text in arguments if re.search(r":v\d|@sha256:|^docker\.io/", text)][-1]
        known["containers"][name] = {"labels": labels, "ports": ports, "image": image}
    yield "0123456789ab"


def execute(arguments: Sequence[str]) -> Iterator[str]:
    rest = list(arguments)
    while rest[0].startswith("-"):
        rest = rest[2:] if rest[0] == "-e" else rest[1:]
    name, command = rest[0], rest[1:]
    with state() as known:
        container(known, name)
        known["calls"].append([name, *command])
    if (HERE / "stopped").exists():
        raise Failed(f"Error response from daemon: container {name} is not running")
    if "-i" in arguments:
        sys.stdin.read()
    if command[:2] == ["kubeadm", "init"]:
        while (HERE / "hold").exists():
            time.sleep(0.1)
    if command == ["cat", "/kind/version"]:
        yield "v1.36.4"
    elif command == ["cat", "/etc/kubernetes/admin.conf"]:
        yield (HERE / "admin.conf").read_text()
    elif command[:1] == ["cat"]:
        yield "{}"
    elif "kubectl" in command[:1] and "get" in command:
        yield "'True'"


def inspect(arguments: Sequence[str]) -> Iterator[str]:
    form = (options(arguments, "--format", "-f") or [""])[0]
    with state() as known:
        if "--type=image" in arguments:
            if arguments[-1] not in known["images"]:
                raise Failed(f"Error: No such image: {arguments[-1]}")
            yield "[]"
            return
        each = container(known, arguments[-1])
    if ROLE in form:
        yield each["labels"][ROLE]
    elif "desktop.docker.io" in form:
        yield ""
    elif ".NetworkSettings.Ports" in form:
        server = re.search(r"server: https://([^:\s]+):(\d+)", (HERE / "admin.conf").read_text())
        assert server
        yield f"{server[1]}\t{server[2]}"
    elif "IPAddress" in form:
        yield "172.18.0.2,"


def network(arguments: Sequence[str]) -> Iterator[str]:
    with state() as known:
        if arguments[0] == "create":
            known["networks"].append(arguments[-1])
        elif arguments[0] == "ls":
            yield from known["networks"]
        elif arguments[1] == "bridge":
            yield "1500"
        else:
            yield "172.18.0.0/16"


def pull(arguments: Sequence[str]) -> Iterator[str]:
    if (HERE / "no-image").exists():
        raise Failed(f"Error response from daemon: manifest for {arguments[-1]} not found: manifest unknown")
    with state() as known:
        known["images"].append(arguments[-1])
    yield ""


def remove(arguments: Sequence[str]) -> Iterator[str]:
    with state() as known:
        for name in (text for text in arguments if not text.startswith("-")):
            container(known, name)
            del known["containers"][name]
            yield name


def info(arguments: Sequence[str]) -> Iterator[str]:
    form = options(arguments, "--format", "-f")[0]
    field = re.search(r"\.(\w+)", form)
    yield (
        json.dumps(INFO[field[1]] if field else INFO)
        if "json" in form
        else str(INFO[field[1] if field else ""])
    )


COMMANDS = {
    "ps": ps,
    "run": run,
    "exec": execute,
    "inspect": inspect,
    "network": network,
    "pull": pull,
    "rm": remove,
    "info": info,
    "version": lambda _: iter(["28.2.2"]),
    "logs": lambda _: iter(["[  OK  ] Reached target multi-user.target - Multi-User System."]),
}


def main(arguments: Sequence[str]) -> int:
    if (HERE / "down").exists():
        print(DOWN, file=sys.stderr)
        return 1
    if arguments[0] not in COMMANDS:
        print(f"docker: '{arguments[0]}' is not a docker command.", file=sys.stderr)
        return 125
    try:
        for line in COMMANDS[arguments[0]](arguments[1:]):
            print(line)
    except Failed as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
