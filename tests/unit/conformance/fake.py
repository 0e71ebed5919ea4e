"""A cluster that serves what was recorded, with secrets in it, and writes down what it was asked."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from rayfort.conformance.cluster import Answer, ClusterError
from rayfort.conformance.collect import EACH, WHOLE

from tests.unit.conformance.world import World

TOKEN: Final = "token-that-nobody-may-see-4f1d9c27"
PASSWORD: Final = "password-that-nobody-may-see-88aa"
PLANTED: Final = "planted-value-that-nobody-may-see-1b"
SECRETS: Final = (TOKEN, PASSWORD, PLANTED)
_NAMESPACED: Final = re.compile(r"/namespaces/(?P<namespace>[^/?]+)/(?P<plural>[a-z]+)(/(?P<name>[^/?]+))?$")

Json = dict[str, Any]


class FakeCluster:
    """A `Connection`.

    Attributes:
        world: what it serves.
        calls: the method and path of every call.
        denied: paths that begin so are answered with 403.
        made: what was made and not deleted, by path.
        probes: the Pods that were made, as they were sent.
        answer: what a probe prints.
    """

    context = "fake"
    server = "https://192.0.2.1:6443"

    def __init__(self, world: World | None = None) -> None:
        self.world = world or World()
        self.calls: list[tuple[str, str]] = []
        self.asked: list[tuple[str, Mapping[str, str]]] = []
        self.executed: list[Sequence[str]] = []
        self.denied: tuple[str, ...] = ()
        self.made: dict[str, Json] = {}
        self.probes: list[Json] = []
        self.answer: Callable[[Json], str] = answer
        self.on_call: Callable[[str, str], None] = lambda *_: None

    def call(
        self, method: str, path: str, body: Json | None = None, acts_as: str | None = None
    ) -> Json | None:
        self.calls.append((method, path))
        self.on_call(method, path)
        bare = path.partition("?")[0]
        if bare.startswith(self.denied) and self.denied:
            raise ClusterError(f"{bare}: forbidden", 403)
        if bare.endswith("selfsubjectrulesreviews"):
            assert body and acts_as
            _, _, namespace, name = acts_as.split(":")
            answers = self.world.data["probes"]["rights"][f"{namespace}/{name}"]
            return {"status": {"resourceRules": answers["rules"][body["spec"]["namespace"]]}}
        if method == "POST":
            assert body
            self.made[f"{bare}/{body['metadata']['name']}"] = body
            if body["kind"] == "Pod":
                self.probes.append(body)
            return body
        if method == "DELETE":
            return self.made.pop(bare, None)
        if bare in self.made:
            return {**self.made[bare], "status": {"phase": "Succeeded"}}
        return self._get(bare)

    def _get(self, path: str) -> Json | None:
        if path == "/version":
            return {"gitVersion": "v1.36.3"}
        for kind, whole in WHOLE.items():
            if path == whole:
                return {"items": self.world.all(kind)}
        if path.startswith("/api/v1/namespaces/") and path.count("/") == 4:
            return self._named("Namespace", "", path.rpartition("/")[2])
        found = _NAMESPACED.search(path)
        if not found:
            return None
        if found["plural"] == "secrets":
            return self._secret(found["namespace"], found["name"])
        kind = next(kind for kind, each in EACH.items() if each.endswith(f"/{found['plural']}"))
        if found["name"]:
            return self._named(kind, found["namespace"], found["name"])
        items = [i for i in self.world.all(kind) if i["metadata"]["namespace"] == found["namespace"]]
        return {"items": items}

    def _named(self, kind: str, namespace: str, name: str) -> Json | None:
        for item in self.world.all(kind):
            if item["metadata"]["name"] == name and item["metadata"].get("namespace", "") == namespace:
                return item
        return None

    def _secret(self, namespace: str, name: str) -> Json | None:
        found = self._named("Secret", namespace, name)
        values = {
            "auth_token": TOKEN,
            ".netrc": f'machine git.example.com\nlogin rayfort\npassword "{PASSWORD}"\n',
        }
        if found is None:
            return None
        data = {key: base64.b64encode(values[key].encode()).decode() for key in found["data"]}
        return {**found, "data": data}

    def text(self, path: str) -> str:
        self.calls.append(("GET", path))
        return self.answer(json.loads(self.probes[-1]["spec"]["containers"][0]["command"][-1]))

    def execute(self, namespace: str, pod: str, container: str, command: Sequence[str]) -> str:
        self.executed.append(command)
        return json.dumps(self.world.probe("netrc", f"{namespace}/{pod}"))

    def ask(self, namespace: str, pod: str, port: int, path: str, headers: Mapping[str, str]) -> Answer:
        self.asked.append((path, headers))
        given = headers.get("Authorization")
        status = 401 if given is None else 200 if given == f"Bearer {TOKEN}" else 403
        return Answer(status, json.dumps({"ray_version": "2.55.1"}).encode())


def answer(asked: Json) -> str:
    """What a probe prints on a platform as it should be."""
    spoken = {
        "connect": "open",
        "plain": "closed",
        "tls12": "TLSV1_ALERT_PROTOCOL_VERSION",
        "tls13": "TLSV13_ALERT_CERTIFICATE_REQUIRED",
        "identity": "spiffe://cluster.local/ns/team-a/sa/ray-head",
    }
    return json.dumps(
        {
            "knock": {
                f"{to}:{port}": "open" if "kubernetes" in to else "silent" for to, port in asked["knock"]
            },
            "talk": {f"{to}:{port}": spoken for to, port in asked["talk"]},
        }
    )
