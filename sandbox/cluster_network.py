"""The networks and names of the sandbox's cluster, which nothing outside it sees."""

import ipaddress
from typing import Final

SERVICE_CIDR: Final = "10.97.0.0/16"
KUBERNETES_SERVICE_IP: Final = str(ipaddress.ip_network(SERVICE_CIDR)[1])  # the API server's own Service
CLUSTER_DOMAIN: Final = "cluster.local"
