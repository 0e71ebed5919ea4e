"""Requests to an API server, on the connection and credentials of the `kubernetes` client library."""

import json
import ssl
import tempfile
import threading
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlencode

from sandbox.plugins.objects import Kind, Object, kind_of, name_of, namespace_of
from sandbox.plugins.server import THREADS, PluginError
from sandbox.yaml_text import as_yaml

JSON: Final = "application/json"
APPLY_PATCH: Final = "application/apply-patch+yaml"
JSON_PATCH: Final = "application/json-patch+json"

_CONNECT_SECONDS: Final = 10.0
_READ_SECONDS: Final = 90.0  # an admission webhook may take 30 seconds, and several may run in turn
_BUSY_TRIES: Final = 6


class Unreachable(PluginError):
    """No answer from the API server, or it does not accept the credentials."""


class ApiError(PluginError):
    """The API server refused a request.

    Attributes:
        status: HTTP status code.
        reason: the server's word for it, e.g. `NotFound`, `AlreadyExists`, `Conflict`, `Invalid`.
        causes: single causes as the server lists them.
    """

    def __init__(self, status: int, body: Mapping[str, Any], text: str) -> None:
        super().__init__(str(body.get("message") or text[:2000] or f"HTTP status {status}"))
        self.status = status
        self.reason = str(body.get("reason") or "")
        details = body.get("details")
        causes = details.get("causes") if isinstance(details, Mapping) else None
        self.causes: list[Mapping[str, Any]] = list(causes or [])


class UnknownKind(PluginError):
    """The API server does not serve this kind (yet)."""

    def __init__(self, kind: Kind) -> None:
        super().__init__(f"the API server does not serve {kind}; is its CustomResourceDefinition installed?")
        self.kind = kind


class Resource(NamedTuple):
    """Where the API server keeps the objects of a kind."""

    api_version: str
    plural: str
    namespaced: bool

    def path(self, namespace: str, name: str = "") -> str:
        """Return the URL path of the collection, or of one object in it."""
        root = f"/apis/{self.api_version}" if "/" in self.api_version else f"/api/{self.api_version}"
        scope = f"/namespaces/{quote(namespace)}" if self.namespaced and namespace else ""
        tail = f"/{quote(name)}" if name else ""
        return f"{root}{scope}/{self.plural}{tail}"


class Cluster:
    """One API server.

    Args:
        kubeconfig: one context, as `kubeconfig.select` returns it.
        cancelled: set when no request is to be repeated any more.
        read_seconds: how long to wait for an answer; None for the default.
    """

    def __init__(
        self, kubeconfig: Mapping[str, Any], cancelled: threading.Event, read_seconds: float | None = None
    ) -> None:
        self._kubeconfig = kubeconfig
        self._cancelled = cancelled
        self._timeout = (_CONNECT_SECONDS, read_seconds or _READ_SECONDS)
        self._client: Any = None
        self._resources: dict[str, dict[str, Resource]] = {}
        self._lock = threading.Lock()
        self._connecting = threading.Lock()
        self._unreachable: str | None = None
        self._reached = False

    # Reaching the server.

    def require_reachable(self) -> None:
        """Raise Unreachable, at once if an earlier attempt of this process failed."""
        with self._lock:
            if self._reached:
                return
            if self._unreachable is None:
                try:
                    self._send("GET", "/version", None, JSON)
                    self._reached = True
                    return
                except Unreachable as error:
                    self._unreachable = str(error)
                except ApiError as error:
                    if error.status not in (401, 403):
                        self._reached = True
                        return
                    self._unreachable = f"the API server refuses the credentials: {error}"
            raise Unreachable(self._unreachable)

    def is_reachable(self) -> bool:
        """Whether the API server answered."""
        try:
            self.require_reachable()
        except Unreachable:
            return False
        return True

    # Kinds.

    def resource(self, kind: Kind) -> Resource:
        """Return where objects of a kind are kept. Raises UnknownKind."""
        with self._lock:
            known = self._resources.get(kind.api_version, {}).get(kind.kind)
        if known is None:
            known = self._discover(kind.api_version).get(kind.kind)
        if known is None:
            raise UnknownKind(kind)
        return known

    def serves(self, kind: Kind) -> bool:
        """Whether the API server serves a kind."""
        try:
            self.resource(kind)
        except UnknownKind:
            return False
        return True

    def _discover(self, api_version: str) -> dict[str, Resource]:
        path = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        try:
            found = self.request("GET", path)["resources"]
        except ApiError as error:
            if error.status != 404:
                raise
            found = []
        resources = {
            entry["kind"]: Resource(api_version, entry["name"], entry["namespaced"])
            for entry in found
            if "/" not in entry["name"]
        }
        with self._lock:
            self._resources[api_version] = resources
        return resources

    # Objects.

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """Return an object. Raises ApiError with status 404, or UnknownKind, if there is none."""
        return self.request("GET", self.resource(kind).path(namespace, name))

    def find(self, kind: Kind, namespace: str, name: str) -> Object | None:
        """Return an object, or None if neither it nor its kind exists."""
        try:
            return self.get(kind, namespace, name)
        except UnknownKind:
            return None
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def labelled(self, kind: Kind, namespace: str, labels: Mapping[str, str]) -> list[Object]:
        """Return the objects of a namespace that carry all the labels."""
        query = {"labelSelector": ",".join(f"{key}={value}" for key, value in sorted(labels.items()))}
        items: list[Object] = self.request("GET", self.resource(kind).path(namespace), query)["items"]
        return items

    def create(self, obj: Object, manager: str, *, dry_run: bool) -> Object:
        """Create an object; fails if it exists."""
        path = self.resource(kind_of(obj)).path(namespace_of(obj))
        return self.request("POST", path, _write_query(manager, dry_run=dry_run), obj)

    def replace(self, obj: Object, manager: str, *, dry_run: bool) -> Object:
        """Replace an object whole; its resourceVersion must be the live one."""
        path = self.resource(kind_of(obj)).path(namespace_of(obj), name_of(obj))
        return self.request("PUT", path, _write_query(manager, dry_run=dry_run), obj)

    def apply(self, obj: Object, manager: str, *, force: bool, dry_run: bool) -> Object:
        """Apply an object on the server's side."""
        path = self.resource(kind_of(obj)).path(namespace_of(obj), name_of(obj))
        query = _write_query(manager, dry_run=dry_run) | {"force": "true" if force else "false"}
        return self.request("PATCH", path, query, obj, APPLY_PATCH)

    def patch(self, obj: Object, operations: list[Mapping[str, Any]]) -> Object:
        """Patch an object with JSON patch operations."""
        path = self.resource(kind_of(obj)).path(namespace_of(obj), name_of(obj))
        return self.request("PATCH", path, None, operations, JSON_PATCH)

    def delete(self, kind: Kind, namespace: str, name: str, propagation: str, uid: str) -> None:
        """Delete an object, but none that was made in its place under the same name."""
        options: dict[str, Any] = {"propagationPolicy": propagation}
        if uid:
            options["preconditions"] = {"uid": uid}
        self.request("DELETE", self.resource(kind).path(namespace, name), None, options)

    # Requests.

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = JSON,
    ) -> Object:
        """Send one request and return the decoded answer.

        A server that is busy and says so is asked again.

        Raises:
            ApiError: the server refused.
            Unreachable: there was no answer.
        """
        target = f"{path}?{urlencode(query)}" if query else path
        for attempt in range(_BUSY_TRIES):
            try:
                return self._send(method, target, body, content_type)
            except _Busy as busy:
                if attempt == _BUSY_TRIES - 1 or self._cancelled.wait(busy.seconds):
                    raise busy.error from None
        raise AssertionError("the loop above returns or raises")

    def _send(self, method: str, target: str, body: Any, content_type: str) -> Object:
        import urllib3  # noqa: PLC0415 - the plugin answers the engine before it needs a cluster

        client = self._connected()
        headers = {"Accept": JSON, "User-Agent": "rayfort-sandbox"}
        client.update_params_for_auth(headers, [], ["BearerToken"], target, method, body)
        encoded = None
        if body is not None:
            headers["Content-Type"] = content_type
            encoded = (as_yaml(body) if content_type == APPLY_PATCH else json.dumps(body)).encode()
        host = client.configuration.host
        try:
            answer = client.rest_client.pool_manager.request(
                method,
                host + target,
                body=encoded,
                headers=headers,
                timeout=urllib3.Timeout(connect=self._timeout[0], read=self._timeout[1]),
                retries=urllib3.Retry(
                    total=3,
                    connect=3,
                    read=1,  # the server may just have closed an idle connection
                    redirect=0,
                    status=0,
                    other=0,
                    backoff_factor=0.2,
                    respect_retry_after_header=False,  # a busy server is asked again by `request`
                    # Sent twice, a POST would find the object that it made.
                    allowed_methods=("GET", "PUT", "PATCH", "DELETE"),
                ),
            )
        except urllib3.exceptions.HTTPError as error:
            raise Unreachable(f"no answer from {host}: {_cause(error)}") from None
        return _decoded(answer)

    def _connected(self) -> Any:
        with self._connecting:
            if self._client is None:
                self._client = _connect(self._kubeconfig)
            return self._client


class _Busy(Exception):
    def __init__(self, seconds: float, error: ApiError) -> None:
        super().__init__(str(error))
        self.seconds = seconds
        self.error = error


def _write_query(manager: str, *, dry_run: bool) -> dict[str, str]:
    query = {"fieldManager": manager, "fieldValidation": "Warn"}
    return query | {"dryRun": "All"} if dry_run else query


def _decoded(answer: Any) -> Object:
    text = answer.data.decode("utf-8", errors="replace")
    try:
        body = json.loads(text)
    except ValueError:
        body = {}
    if answer.status < 400:
        return body if isinstance(body, dict) else {}
    error = ApiError(answer.status, body if isinstance(body, dict) else {}, text)
    retry_after = answer.headers.get("Retry-After", "")
    if answer.status in (429, 503) and retry_after.isdigit():
        raise _Busy(min(float(retry_after), 10.0), error)
    raise error


def _cause(error: BaseException) -> str:
    """What happened in the end, in words: libraries wrap it once or twice, as tuples in parentheses."""
    reason = getattr(error, "reason", None) or error
    inner = reason.args[-1] if reason.args else None
    last = inner if isinstance(inner, BaseException) else reason
    return getattr(last, "strerror", None) or str(last)


def _connect(kubeconfig: Mapping[str, Any]) -> Any:
    # Imported late: the models of this library take a third of a second to load.
    import urllib3  # noqa: PLC0415
    from kubernetes import client, config  # noqa: PLC0415
    from kubernetes.config.config_exception import ConfigException  # noqa: PLC0415

    settings = client.Configuration()
    try:
        with tempfile.TemporaryDirectory(prefix="rayfort-") as directory:
            # The library writes keys of a kubeconfig to files, and would leave them there if the
            # engine killed this process. They are read once and removed.
            config.load_kube_config_from_dict(  # type: ignore[no-untyped-call]
                dict(kubeconfig),
                client_configuration=settings,
                persist_config=False,
                temp_file_path=directory,
            )
            context = _tls(settings)
    except (ConfigException, OSError, ssl.SSLError, ValueError) as error:
        raise Unreachable(f"the kubeconfig cannot be used: {error}") from None
    api = client.ApiClient(settings)
    # A connection for every thread: more would be thrown away after each use, with a warning.
    options: dict[str, Any] = {"maxsize": THREADS, "ssl_context": context}
    if not settings.verify_ssl:
        urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)  # the kubeconfig says so
    if settings.tls_server_name:
        options["server_hostname"] = settings.tls_server_name
    # The library has judged by NO_PROXY already whether the proxy of the environment is for this server.
    if settings.proxy and isinstance(api.rest_client.pool_manager, urllib3.ProxyManager):
        api.rest_client.pool_manager = urllib3.ProxyManager(settings.proxy, **options)
    else:
        api.rest_client.pool_manager = urllib3.PoolManager(**options)
    return api


def _tls(settings: Any) -> ssl.SSLContext | None:
    if not settings.host.startswith("https"):
        return None
    context = ssl.create_default_context(cafile=settings.ssl_ca_cert)
    if not settings.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if settings.cert_file:
        context.load_cert_chain(settings.cert_file, settings.key_file)
    settings.ssl_ca_cert = settings.cert_file = settings.key_file = None
    return context
