"""The platform that all tests with a Ray on the loopback share: a Ray cluster for each source of a token."""

from __future__ import annotations

import copy
import secrets
from pathlib import Path
from typing import Any

from rayfort import versions
from rayfort.ray.ports import NodeRole

from sandbox.environment import Report
from sandbox.node_kind import NodeKind
from tests.e2e.sandbox import NAMESPACE, Sandbox, stack_file
from tests.ray import pods
from tests.ray.pods import Container, Secrets

# The names of the Ray clusters: where their token comes from.
GENERATED, OPERATORS, EXPLICIT = "generated", "operators", "explicit"
UNTAGGED = "untagged"  # its image's tag names no version
NETRC_SECRET = "netrc-secret"
LOGINS = {  # of the private server, by the name under which it is asked
    "localhost": ("reader", "p+w:/'[x]~" + secrets.token_urlsafe(24)),
    # Latin-1, quotes, blanks and a backslash: what Python 3.11 and newer read, and requests can send.
    "127.0.0.1": ("léser", 'a "b" \\ #ü ' + secrets.token_urlsafe(24)),
}
BEARER_SECRET, BEARER_KEY = "source-token", "token"
_LITTLE = {"cpu": "250m", "memory": "2Gi"}


def overrides(token: str, rotation: str = "1") -> dict[str, Any]:
    """What is laid over the stack file.

    Args:
        token: the one that a user gives.
        rotation: of the generated token.
    """
    first = copy.deepcopy(stack_file()["rayfort:workspaces"][0])
    first.pop("quota", None)
    netrc = [
        *first["netrc"],
        *(
            {"machine": machine, "login": login, "password": password}
            for machine, (login, password) in LOGINS.items()
        ),
    ]
    clusters = [
        _cluster(GENERATED, auth={"source": "secret-name", "rotation": rotation}),
        _cluster(
            OPERATORS,
            auth={"source": "operator"},
            netrc=False,
            runtimeEnvToken={"name": BEARER_SECRET, "key": BEARER_KEY},
        ),
        _cluster(EXPLICIT, auth={"source": "env", "token": token}, netrc=False),
        _cluster(
            UNTAGGED, image="registry.example/team/ray:stable", rayVersion=versions.RAY, workerGroups=[]
        ),
    ]
    return {
        "workspaces": [{**first, "netrc": netrc, "clusters": clusters}],
        "kbatch": None,
        "jupyterhub": None,
    }


def _cluster(name: str, **settings: Any) -> dict[str, Any]:
    groups = [{"name": "small", "replicas": 1, "resources": _LITTLE}]
    return {"name": name, "head": {"resources": _LITTLE}, "workerGroups": groups, **settings}


class Deployed:
    """The running platform."""

    def __init__(self, state: Path) -> None:
        self.token = secrets.token_urlsafe(32)
        self.bearer = secrets.token_urlsafe(32)
        self.sandbox = Sandbox(state, overrides(self.token))

    def up(self, rotation: str = "1") -> Report:
        """Bring it up, with what a user puts there."""
        self.sandbox = Sandbox(self.sandbox.state, overrides(self.token, rotation))
        report = self.sandbox.environment.up(NodeKind.SIMULATED)
        self.sandbox.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": BEARER_SECRET, "namespace": NAMESPACE},
                "stringData": {BEARER_KEY: self.bearer},
            }
        )
        return report

    def secrets(self) -> Secrets:
        """The Secrets of the workspace."""
        return pods.secrets_of(self.sandbox.get("secrets", namespace=NAMESPACE)["items"])

    def node(self, role: NodeRole, cluster: str) -> Container:
        """Ray's container of a node."""
        (pod,) = self.sandbox.ray_pods(role.value, cluster)
        return pods.ray_container(pod, self.secrets())
