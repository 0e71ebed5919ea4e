"""The connection that the official Python client makes. It needs the package `kubernetes`."""

import contextlib
import http.client
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import yaml
from kubernetes import config
from kubernetes.client import Configuration, CoreV1Api, rest
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from kubernetes.dynamic import DynamicClient
from kubernetes.stream import portforward, stream
from kubernetes.stream.ws_client import WebSocketConnectionClosedException  # type: ignore[attr-defined]

from rayfort.conformance.cluster import Answer, ClusterError
from rayfort.model import JsonObject

CALL_SECONDS: Final = 30
FORWARD_SECONDS: Final = 15
# What the client lets through of the libraries below it.
_FAILURES: Final = (
    rest.urllib3.exceptions.HTTPError,  # type: ignore[attr-defined]
    WebSocketConnectionClosedException,
    http.client.HTTPException,
    OSError,
    ValueError,
)
_MISSING: Final = http.HTTPStatus.NOT_FOUND


class KubernetesConnection:
    """A connection by the official Python client.

    Args:
        kubeconfig: the content of a kubeconfig; its credentials stay inside the client.
        context: the context in it, always explicit.
        direct: whether no proxy of the environment leads to it, as to a server of this machine.

    Raises:
        ClusterError: if the client cannot use the kubeconfig.
    """

    def __init__(self, kubeconfig: str, context: str, *, direct: bool = False) -> None:
        self.context = context
        settings = Configuration()
        try:
            self._client = config.new_client_from_config_dict(  # type: ignore[no-untyped-call]
                yaml.safe_load(kubeconfig),
                context=context,
                persist_config=False,
                client_configuration=settings,
            )
        except (ConfigException, OSError, ValueError) as error:
            raise ClusterError(f"context {context}: the kubeconfig cannot be used: {error}") from None
        used = self._client.configuration
        if direct:
            used.proxy = None
        used.retries = False  # a retry would be told on the terminal
        self.server = str(used.host)
        # Paths are known here: nothing of the cluster's discovery is needed, nor kept in a file.
        self._dynamic = DynamicClient(self._client, discoverer=lambda *_: None)  # type: ignore[no-untyped-call]

    def call(
        self, method: str, path: str, body: JsonObject | None = None, acts_as: str | None = None
    ) -> JsonObject | None:
        """A call to the API server; None where there is no such thing."""
        headers = {"Impersonate-User": acts_as} if acts_as else {}
        with _told(path):
            answer = self._dynamic.request(
                method.lower(),
                path,
                body=body,
                header_params=headers,
                query_params=[],
                serialize=False,
                _request_timeout=CALL_SECONDS,
            )
            return dict(json.loads(answer.data))
        return None

    def text(self, path: str) -> str:
        """What the API server answers as plain text."""
        with _told(path):
            answer = self._dynamic.request(
                "get",
                path,
                header_params={"Accept": "text/plain, */*"},
                query_params=[],
                serialize=False,
                _request_timeout=CALL_SECONDS,
            )
            return str(answer.data.decode(errors="replace"))
        return ""

    def execute(self, namespace: str, pod: str, container: str, command: Sequence[str]) -> str:
        """What a command in a container prints to its standard output."""

        with _told(f"exec in Pod {namespace}/{pod}"):
            answer = stream(
                CoreV1Api(self._client).connect_get_namespaced_pod_exec,
                pod,
                namespace,
                container=container,
                command=list(command),
                stdout=True,
                stderr=False,
                stdin=False,
                tty=False,
                _request_timeout=CALL_SECONDS,
                _preload_content=False,
            )
            answer.run_forever(timeout=CALL_SECONDS)
            said = answer.read_stdout() if answer.peek_stdout() else ""
            answer.close()
            return str(said)
        raise ClusterError(f"Pod {namespace}/{pod} is not there", _MISSING)

    def ask(self, namespace: str, pod: str, port: int, path: str, headers: Mapping[str, str]) -> Answer:
        """What a Pod's port answers to a GET, through a port-forward."""

        with _told(f"port-forward to Pod {namespace}/{pod}"):
            forward = portforward(
                CoreV1Api(self._client).connect_get_namespaced_pod_portforward,
                pod,
                namespace,
                ports=str(port),
                _request_timeout=CALL_SECONDS,
            )
            try:
                # It ends inside the Pod, at its own loopback: the sidecar does not see it.
                wire = http.client.HTTPConnection("127.0.0.1", port, timeout=FORWARD_SECONDS)
                wire.sock = forward.socket(port)
                wire.sock.settimeout(FORWARD_SECONDS)
                wire.request("GET", path, headers={**headers, "Connection": "close"})
                response = wire.getresponse()
                return Answer(response.status, response.read())
            finally:
                forward.close()
        raise ClusterError(f"Pod {namespace}/{pod} is not there", _MISSING)


@contextlib.contextmanager
def _told(what: str) -> Iterator[None]:
    """The client's failures as `ClusterError`; nothing happens where a thing is not there."""

    try:
        yield
    except ApiException as error:
        status = int(error.status or 0)
        if status != _MISSING:
            raise ClusterError(f"{what}: {_message(error)}", status) from None
    except _FAILURES as error:
        raise ClusterError(f"{what}: {getattr(error, 'reason', None) or error}") from None


def _message(error: Any) -> str:
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason or f"status {error.status}")
