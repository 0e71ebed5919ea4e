"""What a reader of a plan wants to know about a Kind cluster."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import yaml

Json = dict[str, Any]


def _cluster(inputs: Json) -> Iterator[str]:
    config = yaml.safe_load(inputs["config"])
    roles = [node["role"] for node in config["nodes"]]
    workers = roles.count("worker")
    yield f"{roles.count('control-plane')} control plane, {workers} worker{'' if workers == 1 else 's'}"
    yield from sorted({node["image"].partition("@")[0] for node in config["nodes"]})
    ports = [mapping["hostPort"] for node in config["nodes"] for mapping in node.get("extraPortMappings", ())]
    listens = config["networking"]["apiServerAddress"]
    yield f"{inputs['runtime']}, on {listens} alone" + (
        f" with ports {', '.join(map(str, ports))}" if ports else ""
    )


ABOUT: Final[Mapping[str, Callable[[Json], Iterator[str]]]] = {
    "pulumi-python:dynamic/rayfort:KindCluster": _cluster,
}
