"""The gateway that exposes the lab's dashboards, who signs its JWTs, and its certificate.

Keys and certificates lie in the sandbox's directory, so that a sandbox that is used again knows them.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm
from rayfort.mesh import gateway
from rayfort.mesh.gateway_login import HEADER

from sandbox.certs import Authority, Subject
from tests.e2e.sandbox import Sandbox

NAMESPACE, GATEWAY = gateway.NAMESPACE, gateway.GATEWAY
CREDENTIAL = "dashboards"
DOMAIN = "dashboards.test"
ISSUER, AUDIENCE = "https://login.test", "rayfort"
STRANGER = ec.generate_private_key(ec.SECP256R1())


def settings(sandbox: Sandbox, workspace: str, *clusters: str) -> dict[str, Any]:
    """The gateway, as a stack lists it: each cluster is for the group of its name."""
    return {
        "domain": DOMAIN,
        "tls": {"credentialName": CREDENTIAL},
        "jwt": {"issuer": ISSUER, "jwks": _public_keys(sandbox), "audiences": [AUDIENCE]},
        "expose": [
            {"workspace": workspace, "cluster": cluster, "claims": {"groups": [cluster]}}
            for cluster in clusters
        ],
        "replicas": 1,
        "chart": {"chart": str(sandbox.state / "charts" / "gateway")},
        "values": {"resources": {"requests": {"cpu": "10m", "memory": "64Mi"}}},
    }


def stands(sandbox: Sandbox) -> bool:
    """Whether the gateway is there."""
    return sandbox.kubectl("-n", NAMESPACE, "get", "gateways.networking.istio.io", GATEWAY).ok


def host(workspace: str, cluster: str) -> str:
    """The host of a cluster's dashboard."""
    return f"{cluster}-{workspace}.{DOMAIN}"


def authority(sandbox: Sandbox) -> Authority:
    """Who issues the gateway's certificate."""
    return Authority(_directory(sandbox), "front door")


def credential(sandbox: Sandbox, *hosts: str) -> dict[str, Any]:
    """The Secret with the gateway's certificate."""
    pair = authority(sandbox).issue("gateway", Subject("gateway", hosts=hosts))
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": CREDENTIAL, "namespace": NAMESPACE},
        "stringData": {"tls.crt": pair.cert.read_text(), "tls.key": pair.key.read_text()},
    }


def pass_for(sandbox: Sandbox, group: str, **claims: Any) -> str:
    """The header with a JWT for the people of a group; further claims replace what it says otherwise."""
    signed = token(_issuers_key(sandbox).read_bytes(), **{"groups": [group], **claims})
    return f"{HEADER}: {signed}"


def token(key: bytes | ec.EllipticCurvePrivateKey, **claims: Any) -> str:
    """A JWT signed by a key; a claim of None is left out."""
    said = {"iss": ISSUER, "aud": AUDIENCE, "sub": "somebody", "exp": int(time.time()) + 3600, **claims}
    told = {claim: value for claim, value in said.items() if value is not None}
    return jwt.encode(told, key, algorithm="ES256")


def _public_keys(sandbox: Sandbox) -> str:
    key = ECAlgorithm(ECAlgorithm.SHA256).prepare_key(_issuers_key(sandbox).read_bytes())
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return json.dumps({"keys": [ECAlgorithm.to_jwk(key.public_key(), as_dict=True)]})


def _issuers_key(sandbox: Sandbox) -> Path:
    return authority(sandbox).issue("issuer", Subject("issuer")).key


def _directory(sandbox: Sandbox) -> Path:
    directory = sandbox.state / "front-door"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    return directory
