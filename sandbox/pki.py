"""The certificates of a sandbox: who holds which, and what each is good for."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sandbox import identities
from sandbox.certs import Authority, Subject, signing_key
from sandbox.cluster_network import CLUSTER_DOMAIN, KUBERNETES_SERVICE_IP
from sandbox.kubeconfig import KeyPair
from sandbox.layout import Layout, Place
from sandbox.node import network
from sandbox.node.real import Identities

FRONT_PROXY: Final = "front-proxy-client"


@dataclass(frozen=True)
class Pki:
    """The certificates of a control plane. etcd has an authority of its own: nobody but the API server
    holds a certificate that opens it."""

    cluster_ca: KeyPair
    etcd_ca: KeyPair
    front_proxy_ca: KeyPair
    etcd: KeyPair
    etcd_client: KeyPair
    front_proxy: KeyPair
    api_server: KeyPair
    controller_manager: KeyPair
    scheduler: KeyPair
    simulator: KeyPair
    workloads: KeyPair
    admin: KeyPair
    kubelet_client: KeyPair
    node: Identities
    tokens_private: Path
    tokens_public: Path


def issue(layout: Layout, place: Place) -> Pki:
    """All certificates, made now unless those that are there still serve."""
    here = (place.host, "localhost")
    cluster = Authority(layout.pki, "rayfort-sandbox")
    etcd = Authority(layout.pki / "etcd", "rayfort-sandbox-etcd")
    front_proxy = Authority(layout.pki / "front-proxy", "rayfort-sandbox-front-proxy")
    api_names = (
        *here,
        KUBERNETES_SERVICE_IP,
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        f"kubernetes.default.svc.{CLUSTER_DOMAIN}",
    )
    private, public = layout.pki / "tokens.key", layout.pki / "tokens.pub"
    signing_key(private, public)

    def client(file_name: str, subject: Subject, hosts: tuple[str, ...] = ()) -> KeyPair:
        return cluster.issue(file_name, Subject(subject.common_name, subject.organizations, hosts))

    return Pki(
        cluster_ca=cluster.pair,
        etcd_ca=etcd.pair,
        front_proxy_ca=front_proxy.pair,
        front_proxy=front_proxy.issue("client", Subject(FRONT_PROXY)),
        etcd=etcd.issue("server", Subject("etcd", hosts=here)),
        etcd_client=etcd.issue("client", Subject("kube-apiserver")),
        api_server=client("api-server", Subject("kube-apiserver"), api_names),
        controller_manager=client("controller-manager", identities.CONTROLLER_MANAGER, here),
        scheduler=client("scheduler", identities.SCHEDULER, here),
        simulator=client("simulator", identities.SIMULATOR),
        workloads=client("workloads", identities.WORKLOADS),
        admin=client("admin", identities.ADMIN),
        kubelet_client=client("kubelet-client", identities.KUBELET_CLIENT),
        node=Identities(
            kubelet=client("kubelet", identities.KUBELET, here),
            felix=client("calico-node", network.FELIX),
            plugin=client("calico-cni", network.PLUGIN),
        ),
        tokens_private=private,
        tokens_public=public,
    )
