"""A small API server in memory, for what the plugins need of one: discovery, objects, apply, dry runs.

It fills in defaults and drops empty values as the real one does, and it can be told to refuse.
"""

import copy
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Object = dict[str, Any]

KINDS: dict[str, list[tuple[str, str, bool]]] = {
    "v1": [
        ("Namespace", "namespaces", False),
        ("Secret", "secrets", True),
        ("ConfigMap", "configmaps", True),
        ("Service", "services", True),
        ("Pod", "pods", True),
    ],
    "apps/v1": [("Deployment", "deployments", True)],
    "batch/v1": [("Job", "jobs", True)],
    "rbac.authorization.k8s.io/v1": [
        ("Role", "roles", True),
        ("RoleBinding", "rolebindings", True),
        ("ClusterRole", "clusterroles", False),
    ],
    "apiextensions.k8s.io/v1": [("CustomResourceDefinition", "customresourcedefinitions", False)],
    "discovery.k8s.io/v1": [("EndpointSlice", "endpointslices", True)],
}


class FakeApi:
    """The server's memory and its switches.

    Attributes:
        objects: what exists, by URL path.
        kinds: what is served; more can be added at any time.
        requests: every request as (method, path, query, body).
        causes: what a refusal gives as its single causes.
        refuse: called with method, path and body; a (status, reason, message) refuses the request.
        after_write: called with an object that was just stored, e.g. to play its controller.
        finalize: called with the path of an object that is to be deleted; False keeps it for the moment.
    """

    def __init__(self) -> None:
        self.objects: dict[str, Object] = {}
        self.kinds = copy.deepcopy(KINDS)
        self.requests: list[tuple[str, str, dict[str, str], Any]] = []
        self.refuse: Callable[[str, str, Any], tuple[int, str, str] | None] = lambda *_: None
        self.after_write: Callable[[Object], None] = lambda _: None
        self.finalize: Callable[[str], bool] = lambda _: True
        self.causes: list[dict[str, str]] = []
        self.lock = threading.RLock()
        self.url = ""
        self._version = 0

    def writes(self) -> list[tuple[str, str]]:
        """Return the writing requests that were no dry runs."""
        return [(m, p) for m, p, query, _ in self.requests if m != "GET" and query.get("dryRun") != "All"]

    def kubeconfig(self) -> str:
        """Return a kubeconfig for this server."""
        return json.dumps(
            {
                "current-context": "fake",
                "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
                "clusters": [{"name": "fake", "cluster": {"server": self.url}}],
                "users": [{"name": "fake", "user": {"token": "fake-token"}}],
            }
        )

    # Handling a request: each returns (status, body).

    def handle(self, method: str, target: str, body: Any, content_type: str) -> tuple[int, Object]:
        parts = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        with self.lock:
            self.requests.append((method, parts.path, query, copy.deepcopy(body)))
            refused = self.refuse(method, parts.path, body)
            if refused:
                code, answer = _status(*refused)
                return code, answer | {"details": {"causes": self.causes}}
            if parts.path == "/version":
                return 200, {"major": "1", "minor": "36"}
            return self._route(method, parts.path, query, body, content_type)

    def _route(
        self, method: str, path: str, query: dict[str, str], body: Any, content_type: str
    ) -> tuple[int, Object]:
        steps = path.strip("/").split("/")
        group = "/".join(steps[1:3]) if steps[0] == "apis" else steps[1]
        rest = steps[3:] if steps[0] == "apis" else steps[2:]
        if group not in self.kinds:
            return _status(404, "NotFound", "the server could not find the requested resource")
        if not rest:
            return 200, {
                "resources": [
                    {"kind": kind, "name": plural, "namespaced": namespaced}
                    for kind, plural, namespaced in self.kinds[group]
                ]
            }
        namespace = ""
        if rest[0] == "namespaces" and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        found = [entry for entry in self.kinds[group] if entry[1] == rest[0]]
        if not found:
            return _status(404, "NotFound", "the server could not find the requested resource")
        dry = query.get("dryRun") == "All"
        if method == "POST":
            return self._create(path, namespace, body, query, dry)
        if method == "GET" and len(rest) == 1:
            return self._list(path, query)
        live = self.objects.get(path)
        if live is None and not (method == "PATCH" and "apply" in content_type):
            return _status(404, "NotFound", f'{rest[0]} "{rest[1]}" not found')
        if method == "GET":
            return 200, copy.deepcopy(live or {})
        if method == "DELETE":
            if self.finalize(path):
                del self.objects[path]
            else:
                self.objects[path]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
            return 200, {"kind": "Status"}
        if method == "PUT":
            return self._store(path, body | {"metadata": (live or {})["metadata"] | body["metadata"]}, dry)
        if "json-patch" in content_type:
            for operation in body:
                if operation["path"] == "/metadata/managedFields":
                    (live or {})["metadata"]["managedFields"] = operation["value"]
            return 200, copy.deepcopy(live or {})
        return self._apply(path, live, body, query, dry)

    def _list(self, path: str, query: dict[str, str]) -> tuple[int, Object]:
        wanted = dict(pair.split("=", 1) for pair in query.get("labelSelector", "").split(",") if pair)
        items = [
            obj
            for key, obj in self.objects.items()
            if key.startswith(f"{path}/") and wanted.items() <= (obj["metadata"].get("labels") or {}).items()
        ]
        return 200, {"items": copy.deepcopy(items)}

    def _create(
        self, path: str, namespace: str, body: Object, query: dict[str, str], dry: bool
    ) -> tuple[int, Object]:
        name = body["metadata"]["name"]
        where = f"{path}/{name}"
        if where in self.objects:
            return _status(409, "AlreadyExists", f'"{name}" already exists')
        if namespace and f"/api/v1/namespaces/{namespace}" not in self.objects:
            return _status(404, "NotFound", f'namespaces "{namespace}" not found')
        obj = copy.deepcopy(body)
        obj["metadata"] |= {"uid": str(uuid.uuid4()), "creationTimestamp": "2026-01-01T00:00:00Z"}
        obj["metadata"]["managedFields"] = [
            {"manager": query["fieldManager"], "operation": "Update", "fieldsV1": _fields(body)}
        ]
        return self._store(where, obj, dry)

    def _apply(
        self, path: str, live: Object | None, body: Object, query: dict[str, str], dry: bool
    ) -> tuple[int, Object]:
        manager = query["fieldManager"]
        base: Object = {"metadata": {"uid": str(uuid.uuid4()), "managedFields": []}}
        if live:
            base = copy.deepcopy(live)
        entries = base["metadata"]["managedFields"]
        mine = next((e for e in entries if e["manager"] == manager and e["operation"] == "Apply"), None)
        if mine is None:
            mine = {"manager": manager, "operation": "Apply", "fieldsV1": {}}
            entries.append(mine)
        others = [entry["fieldsV1"] for entry in entries if entry is not mine]
        wanted = _fields(body)
        _drop(base, mine["fieldsV1"], wanted, others)
        mine["fieldsV1"] = wanted
        _merge(base, body)
        return self._store(path, base, dry)

    def _store(self, path: str, obj: Object, dry: bool) -> tuple[int, Object]:
        stored = _defaulted(copy.deepcopy(obj))
        if not dry:
            self._version += 1
            old = self.objects.get(path, {})
            stored["metadata"]["resourceVersion"] = str(self._version)
            changed = stored.get("spec") != old.get("spec")
            generation = old.get("metadata", {}).get("generation", 0)
            stored["metadata"]["generation"] = generation + changed
            self.objects[path] = stored
            self.after_write(stored)
        return 200, copy.deepcopy(stored)


def _status(code: int, reason: str, message: str) -> tuple[int, Object]:
    return code, {"kind": "Status", "status": "Failure", "reason": reason, "message": message, "code": code}


def _fields(value: Any) -> Any:
    if not isinstance(value, dict):
        return {}
    skipped = ("apiVersion", "kind", "name", "namespace", "uid", "resourceVersion")
    return {f"f:{key}": _fields(item) for key, item in value.items() if key not in skipped}


def _drop(live: Any, old: Any, new: Any, others: list[Any]) -> None:
    for key, inner in old.items():
        name = key.removeprefix("f:")
        rest = [other[key] for other in others if key in other]
        if not isinstance(live, dict) or name not in live:
            continue
        if inner and isinstance(live[name], dict):
            _drop(live[name], inner, new.get(key, {}), rest)
        elif key not in new and not rest:
            del live[name]


def _merge(base: Any, over: Any) -> None:
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = copy.deepcopy(value)


def _defaulted(obj: Object) -> Object:
    """What the real server makes of some inputs."""
    kind = obj["kind"]
    if kind == "Secret":
        text = obj.pop("stringData", None)
        if text:
            import base64

            encoded = {key: base64.b64encode(value.encode()).decode() for key, value in text.items()}
            obj["data"] = (obj.get("data") or {}) | encoded
        obj.setdefault("type", "Opaque")
    if kind == "Service":
        spec = obj.setdefault("spec", {})
        spec.setdefault("clusterIP", "10.0.0.1")
        spec.setdefault("type", "ClusterIP")
        for port in spec.get("ports", []):
            port.setdefault("protocol", "TCP")
    if kind == "Deployment":
        spec = obj["spec"]
        spec.setdefault("replicas", 1)
        pod = spec["template"]["spec"]
        pod.setdefault("restartPolicy", "Always")
        if pod.get("hostNetwork") is False:
            del pod["hostNetwork"]
        for container in pod["containers"]:
            limits = container.get("resources", {}).get("limits", {})
            if limits.get("cpu") == "1000m":
                limits["cpu"] = "1"
    if kind == "Namespace":
        obj.setdefault("status", {"phase": "Active"})
    for key in ("labels", "annotations"):
        if obj["metadata"].get(key) == {}:
            del obj["metadata"][key]
    return obj


@contextmanager
def serve(api: FakeApi) -> Iterator[FakeApi]:
    """Serve an API on loopback until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            text = self.rfile.read(length) if length else b""
            body = json.loads(text) if text else None
            assert self.headers.get("Authorization") == "Bearer fake-token"
            code, answer = api.handle(self.command, self.path, body, self.headers.get("Content-Type") or "")
            data = json.dumps(answer).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            if code in (429, 503):
                self.send_header("Retry-After", "0")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    api.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield api
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
