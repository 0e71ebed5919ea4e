"""The inbound sides of Pods' sidecars, run by one Envoy, and what it says to callers."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from sandbox.xds.state import Snapshot
from tests.mesh import caller, envoy, inbound
from tests.mesh.caller import Answer
from tests.mesh.certificates import Authority, Certificate
from tests.mesh.deployed import account, address
from tests.mesh.filters import ISTIO_FILTERS


class Verdict(StrEnum):
    """What became of a call, by Envoy's own counters."""

    ALLOWED = "allowed by policy"
    UNGUARDED = "no policy was asked"
    DENIED = "denied by policy"
    NO_CHAIN = "no filter chain takes it"
    NO_CERTIFICATE = "no client certificate"
    NOT_TRUSTED = "the client's certificate is not trusted"
    NO_HANDSHAKE = "no TLS version in common"


_COUNTERS = {
    "rbac.allowed": Verdict.ALLOWED,
    "rbac.denied": Verdict.DENIED,
    "no_filter_chain_match": Verdict.NO_CHAIN,
    "ssl.fail_verify_no_cert": Verdict.NO_CERTIFICATE,
    "ssl.fail_verify_error": Verdict.NOT_TRUSTED,
    "ssl.fail_verify_san": Verdict.NOT_TRUSTED,
    "ssl.connection_error": Verdict.NO_HANDSHAKE,
}
_COUNT_LIMIT = 30.0  # seconds
_EXPRESSION = r"(rbac\.(allowed|denied)|no_filter_chain_match|ssl\.(fail_verify_.*|connection_error))$"


class Certificates:
    """Certificates of one CA as files, each issued once."""

    def __init__(self, authority: Authority, directory: Path) -> None:
        self._authority, self._directory = authority, directory
        self._files: dict[str, Path] = {}

    def of(self, identity: str) -> Path:
        """The certificate, with its key, of a SPIFFE identity."""
        if identity not in self._files:
            issued: Certificate = self._authority.issue(identity)
            self._files[identity] = issued.write(self._directory / f"{len(self._files)}.pem")
        return self._files[identity]


class Guards:
    """The Envoy."""

    def __init__(self, running: envoy.Envoy, pods: Mapping[str, str]) -> None:
        self._envoy, self._pods = running, pods
        self._where = {name: running.address(name) for name in pods}

    def where(self, pod: str) -> tuple[str, int]:
        """Where a Pod's Envoy listens."""
        return self._where[pod]

    def ask(self, pod: str, port: int, context: ssl.SSLContext | None) -> Verdict:
        """What becomes of a call to a Pod's port; `context` is None for plaintext."""
        return self.call(pod, port, context)[0]

    def call(self, pod: str, port: int, context: ssl.SSLContext | None) -> tuple[Verdict, Answer]:
        """The same, and what the caller sees."""
        before = self._envoy.counters(_EXPRESSION)
        answer = caller.call(self._where[pod], self._pods[pod], port, context)
        deadline = time.monotonic() + _COUNT_LIMIT
        while not (verdicts := self._moved(before)):
            if answer.served:
                return Verdict.UNGUARDED, answer
            # Envoy sends an alert first and counts then.
            assert time.monotonic() < deadline, f"{pod} port {port}: Envoy counted nothing; {answer}"
        if len(verdicts) > 1:
            verdicts.discard(Verdict.ALLOWED)  # by one of several filters
        (verdict,) = verdicts
        assert answer.served == (verdict is Verdict.ALLOWED), (verdict, answer)
        return verdict, answer

    def _moved(self, before: Mapping[str, int]) -> set[Verdict]:
        after = self._envoy.counters(_EXPRESSION)
        moved = [name for name, value in after.items() if value > before.get(name, 0)]
        return {
            verdict for suffix, verdict in _COUNTERS.items() if any(name.endswith(suffix) for name in moved)
        }


@contextmanager
def guards(
    directory: Path, authority: Authority, sides: Mapping[str, tuple[Mapping[str, Any], Snapshot]]
) -> Iterator[Guards]:
    """The inbound sides of Pods, by any name, given the Pod and what istiod tells its sidecar."""
    listeners, secrets = [], []
    for name, (pod, told) in sides.items():
        original = told.listeners[inbound.VIRTUAL_INBOUND]
        made = inbound.standalone(original, name)
        assert made.removed <= ISTIO_FILTERS
        assert inbound.all_rules(made.listener) == inbound.all_rules(original)
        listeners.append(made.listener)
        secrets += inbound.secrets(authority, name, account(pod))
    with envoy.running(directory, listeners, clusters=[inbound.black_hole()], secrets=secrets) as running:
        yield Guards(running, {name: address(pod) for name, (pod, _) in sides.items()})
