"""What was seen of the sandbox once, and ways to change it.

`observed.json` was recorded by `collect.observe` on a sandbox with a real node, without its secrets, and
shortened by what no check reads.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from rayfort.conformance import Observations, Report, Status, judge
from rayfort.conformance.redact import scrub
from rayfort.facts import ClusterFacts
from rayfort.mesh.gateway_routes import GatewayTls, gateway_spec
from rayfort.proxy import kbatch_admission as admission
from rayfort.proxy.kbatch_config import JOB_ACCOUNT
from rayfort.proxy.kbatch_members import KbatchUser
from rayfort.proxy.kbatch_spec import KbatchProxyArgs
from rayfort.proxy.kbatch_users import Surroundings, namespace_labels, network_policies

RECORDED: Final = Path(__file__).with_name("observed.json")
WORKSPACE, CLUSTER, USER = "team-a", "ray", "kbatch-alice"
RAY: Final = f"{WORKSPACE}/{CLUSTER}"

Json = dict[str, Any]


class World:
    """The observations as plain data, to be changed."""

    def __init__(self) -> None:
        self.data: Json = json.loads(RECORDED.read_text())
        # The sandbox's stack has no gateway; this one is what the library makes.
        metadata = {
            "name": "dashboards",
            "namespace": "gateway",
            "labels": {"app.kubernetes.io/part-of": "rayfort"},
        }
        spec = gateway_spec({"istio": "dashboards"}, GatewayTls(credential_name="tls"), ["ray.example.com"])
        self.data["objects"]["Gateway"] = [{"kind": "Gateway", "metadata": metadata, "spec": spec}]
        self._kbatch()

    def _kbatch(self) -> None:
        """What the library makes for a user of kbatch today, in place of what was recorded."""
        args = KbatchProxyArgs(users=(KbatchUser(name="alice"),))
        around = Surroundings(facts=ClusterFacts(istio_cni=True))
        self.drop("NetworkPolicy", "", USER)
        for name, spec in network_policies(args, around, None):
            self.add("NetworkPolicy", name, spec, USER)
        account = {"automountServiceAccountToken": False}
        self.add("ServiceAccount", JOB_ACCOUNT, {}, USER, **account)
        self.one("Namespace", USER)["metadata"]["labels"] |= namespace_labels(args, around)
        self.data["objects"][admission.POLICY] = []
        self.data["objects"][admission.BINDING] = []
        for policy in admission.policies(args):
            self.add(admission.POLICY, policy.name, policy.spec, "")
            self.add(admission.BINDING, policy.name, policy.binding, "")

    def all(self, kind: str) -> list[Json]:
        """The objects of a kind, which can be changed in place."""
        found: list[Json] = self.data["objects"][kind]
        return found

    def one(self, kind: str, name: str, namespace: str = "") -> Json:
        """One object; a Pod by the beginning of its name."""
        return next(
            item
            for item in self.all(kind)
            if item["metadata"]["name"].startswith(name)
            and item["metadata"].get("namespace", "") in {namespace, *([] if namespace else [WORKSPACE])}
        )

    def add(self, kind: str, name: str, spec: Json, namespace: str = WORKSPACE, **more: Any) -> None:
        """One object more."""
        metadata = {"name": name, "namespace": namespace}
        self.all(kind).append({"kind": kind, "metadata": metadata, "spec": spec, **more})

    def drop(self, kind: str, name: str = "", namespace: str = WORKSPACE) -> None:
        """Take objects away; all of the namespace where no name is given."""
        self.data["objects"][kind] = [
            item
            for item in self.all(kind)
            if not (
                item["metadata"]["name"].startswith(name)
                and item["metadata"].get("namespace", namespace) == namespace
            )
        ]

    def probe(self, what: str, subject: str = RAY) -> Json:
        """The answer of a trial, which can be changed in place."""
        found: Json = self.data["probes"][what][subject]
        return found

    @property
    def seen(self) -> Observations:
        """The observations, scrubbed as `collect` does it."""
        data = copy.deepcopy(self.data)
        objects = {kind: [scrub(item) for item in items] for kind, items in data["objects"].items()}
        return Observations(data["cluster"], objects, data["probes"], data["reasons"])


def head(world: World) -> Json:
    """The head's Pod."""
    return world.one("Pod", "ray-head")


def worker(world: World) -> Json:
    """The worker's Pod."""
    return world.one("Pod", "ray-small")


def main(pod: Json) -> Json:
    """Ray's container of a Pod."""
    found: Json = pod["spec"]["containers"][0]
    return found


def variable(pod: Json, name: str) -> Json:
    """A variable of Ray's container."""
    return next(each for each in main(pod)["env"] if each["name"] == name)


def statuses(report: Report) -> dict[tuple[str, str], Status]:
    """How each check ended, by its place and name."""
    return {(verdict.place, verdict.check.name): verdict.status for verdict in report.verdicts}


def failures(change: Callable[[World], object]) -> set[str]:
    """The checks that fail after a change."""
    world = World()
    change(world)
    return {verdict.check.name for verdict in judge(world.seen).verdicts if verdict.status is Status.FAIL}
