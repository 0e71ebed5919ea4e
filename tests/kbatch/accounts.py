"""Tokens of ServiceAccounts, as Pods would get them."""

from __future__ import annotations

from tests.e2e.sandbox import Sandbox
from tests.kbatch.deployed import PROXY_NAMESPACE

SECONDS = 6 * 3600  # for which a token is valid


def account_token(sandbox: Sandbox, account: str, namespace: str = PROXY_NAMESPACE) -> str:
    """A token of a ServiceAccount, as a Pod of it would get."""
    done = sandbox.kubectl("-n", namespace, "create", "token", account, f"--duration={SECONDS}s")
    assert done.ok, done.output
    return done.output.strip()


def administrators_token(sandbox: Sandbox) -> str:
    """A token of an account that may do everything."""
    name = "tests-administrator"
    meta = {"name": name, "namespace": "kube-system"}
    sandbox.apply(
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {
                "apiGroup": "rbac.authorization.k8s.io",
                "kind": "ClusterRole",
                "name": "cluster-admin",
            },
            "subjects": [{"kind": "ServiceAccount", **meta}],
        },
    )
    return account_token(sandbox, name, "kube-system")
