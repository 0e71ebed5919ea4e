"""Kind's configuration, as a pure function of the arguments."""

from typing import Any

import yaml

from rayfort.cluster.kind.spec import KindClusterArgs

API_VERSION = "kind.x-k8s.io/v1alpha4"
LOOPBACK = "127.0.0.1"


def document(args: KindClusterArgs) -> str:
    """The file for ``kind create cluster --config``, as YAML; the same arguments give the same text."""
    control_planes: list[dict[str, Any]] = [
        {"role": "control-plane", "image": args.node_image} for _ in range(args.control_planes)
    ]
    if args.ports:
        # A NodePort answers on every node, so one of them is enough.
        control_planes[0]["extraPortMappings"] = [
            {
                "containerPort": port.node_port,
                "hostPort": port.host_port,
                "listenAddress": LOOPBACK,
                "protocol": "TCP",
            }
            for port in args.ports
        ]
    workers = [{"role": "worker", "image": args.node_image} for _ in range(args.workers)]
    config = {
        "kind": "Cluster",
        "apiVersion": API_VERSION,
        "name": args.name,
        "networking": {
            "ipFamily": "ipv4",
            "apiServerAddress": LOOPBACK,
            "podSubnet": args.pod_cidr,
            "serviceSubnet": args.service_cidr,
        },
        "nodes": control_planes + workers,
    }
    return yaml.safe_dump(config, sort_keys=False)
