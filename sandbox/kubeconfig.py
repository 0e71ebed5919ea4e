"""Kubeconfig files of the sandbox's identities.

They name the certificate and key files instead of holding them: the text of a kubeconfig, wherever it
ends up (an engine's state, a log), discloses nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import yaml

from sandbox.processes import write_private


@dataclass(frozen=True)
class KeyPair:
    """Where a certificate and its private key lie (PEM)."""

    cert: Path
    key: Path


def render(server: str, ca: Path, identity: KeyPair, context: str, *, acts_as: str | None = None) -> str:
    """The text of a kubeconfig with one context.

    `server` is the API server's URL; `acts_as` a user name whose rights are used instead of the
    identity's own (impersonation), such as `system:serviceaccount:<namespace>:<name>`.
    """
    user = {"client-certificate": str(identity.cert), "client-key": str(identity.key)}
    if acts_as is not None:
        user["as"] = acts_as
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": context,
        "clusters": [{"name": context, "cluster": {"server": server, "certificate-authority": str(ca)}}],
        "users": [{"name": context, "user": user}],
        "contexts": [{"name": context, "context": {"cluster": context, "user": context}}],
    }
    return yaml.safe_dump(config, sort_keys=False, width=4096)


def write(path: Path, text: str) -> Path:
    """Write the file with mode 0600, and only if it changes, so that watchers of it are left alone."""
    if not path.exists() or path.read_text() != text:
        write_private(path, text)
    return path
