"""Who may talk to whom inside the mesh."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rayfort import RayPorts
from rayfort.mesh.authorization import (
    Identity,
    access_spec,
    allow_nothing_spec,
    head_spec,
    intra_cluster_spec,
    metrics_spec,
)
from rayfort.ray.ports import Peer

OPERATOR = Identity("kuberay-system", "kuberay-operator")
CLIENT = Identity("notebooks", "jupyter")
NAMES = st.from_regex(r"[a-z]([-a-z0-9]{0,20}[a-z0-9])?", fullmatch=True)


def test_an_empty_policy_allows_nothing() -> None:
    """`spec: {}` is Istio's default deny; one rule too many, and it is an allow."""
    assert allow_nothing_spec() == {}


def test_nodes_of_one_cluster_reach_each_other_on_every_port() -> None:
    """Ray opens ports that are not in any table, torch for one."""
    members = [Identity("team", "ray-head"), Identity("team", "ray-worker")]
    assert intra_cluster_spec("ray", members, "cluster.local") == {
        "selector": {"matchLabels": {"ray.io/cluster": "ray"}},
        "action": "ALLOW",
        "rules": [
            {
                "from": [
                    {
                        "source": {
                            "principals": [
                                "cluster.local/ns/team/sa/ray-head",
                                "cluster.local/ns/team/sa/ray-worker",
                            ]
                        }
                    }
                ]
            }
        ],
    }


def test_the_operator_reaches_the_dashboard_and_serve_only() -> None:
    """It submits RayJobs and reads the health of RayServices, and never needs Ray's internals."""
    rule = head_spec("ray", RayPorts(), [(Peer.OPERATOR, [OPERATOR])], "cluster.local")["rules"][0]
    assert rule["to"] == [{"operation": {"ports": ["8265", "8000"]}}]
    assert rule["from"] == [
        {"source": {"principals": ["cluster.local/ns/kuberay-system/sa/kuberay-operator"]}}
    ]


def test_clients_reach_the_head_and_not_the_workers() -> None:
    """A client that reaches a worker bypasses the token on some of its ports."""
    spec = head_spec("ray", RayPorts(), [(Peer.CLIENT, [CLIENT])], "cluster.local")
    assert spec["selector"]["matchLabels"] == {"ray.io/cluster": "ray", "ray.io/node-type": "head"}
    assert spec["rules"][0]["to"] == [{"operation": {"ports": ["8265", "10001", "8000"]}}]


def test_a_kind_of_caller_that_nobody_is_gets_no_rule() -> None:
    """A rule without principals would allow everybody."""
    spec = head_spec("ray", RayPorts(), [(Peer.OPERATOR, [OPERATOR]), (Peer.CLIENT, [])], "cluster.local")
    assert len(spec["rules"]) == 1


def test_scrapers_read_metrics_and_nothing_else() -> None:
    """Metrics have no token: the network is their only guard."""
    spec = metrics_spec("ray", RayPorts(), ["monitoring"])
    assert spec["rules"] == [
        {
            "from": [{"source": {"namespaces": ["monitoring"]}}],
            "to": [{"operation": {"ports": ["8080"]}}],
        }
    ]


@given(NAMES, NAMES, st.lists(NAMES, min_size=1, max_size=3))
def test_no_rule_is_without_a_caller(cluster: str, namespace: str, accounts: list[str]) -> None:
    """In Istio a rule without `from` lets everybody in."""
    members = [Identity(namespace, account) for account in accounts]
    callers = [(Peer.OPERATOR, members), (Peer.CLIENT, members)]
    for spec in (
        intra_cluster_spec(cluster, members, "cluster.local"),
        head_spec(cluster, RayPorts(), callers, "cluster.local"),
        metrics_spec(cluster, RayPorts(), [namespace]),
    ):
        assert spec["action"] == "ALLOW"
        for rule in spec["rules"]:
            sources = [source["source"] for source in rule["from"]]
            assert sources
            assert all(source.get("principals") or source.get("namespaces") for source in sources)


@given(NAMES, st.lists(NAMES, min_size=1, max_size=3))
def test_rules_name_ports_and_callers_only(cluster: str, accounts: list[str]) -> None:
    """On TCP ports an ALLOW rule with an HTTP field never matches."""
    callers = [(Peer.CLIENT, [Identity("somewhere", account) for account in accounts])]
    for rule in head_spec(cluster, RayPorts(), callers, "cluster.local")["rules"]:
        assert rule.keys() == {"from", "to"}
        assert all(operation["operation"].keys() == {"ports"} for operation in rule["to"])


def test_principals_have_no_scheme() -> None:
    """Istio compares with what follows `spiffe://`."""
    assert CLIENT.principal("corp.example") == "corp.example/ns/notebooks/sa/jupyter"


def test_a_pod_without_callers_is_closed() -> None:
    """A policy that allows and has no rule never matches; an empty rule would match everybody."""
    closed = access_spec({"app": "x"}, [], [8080])
    assert closed == {"selector": {"matchLabels": {"app": "x"}}, "action": "ALLOW"}
    (rule,) = access_spec({"app": "x"}, ["monitoring"], [8080])["rules"]
    assert rule == {
        "from": [{"source": {"namespaces": ["monitoring"]}}],
        "to": [{"operation": {"ports": ["8080"]}}],
    }
