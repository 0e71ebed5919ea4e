"""One team's workspace, on a cluster with a mesh and a KubeRay operator that somebody else keeps."""

import pulumi
import rayfort as rf

config = pulumi.Config()
cluster = rf.ExistingCluster(
    "cluster",
    rf.ExistingClusterArgs(kubeconfig=config.require_secret("kubeconfig"), context=config.require("context")),
)
workspace = rf.RayWorkspace(
    "vision",
    rf.RayWorkspaceArgs(
        spec=rf.WorkspaceSpec(
            name="vision",
            quota={"requests.cpu": "32", "requests.memory": "128Gi"},
            netrc=(
                rf.NetrcEntry(
                    machine="git.example.com", login="robot", password=config.require_secret("netrcPassword")
                ),
            ),
            clusters=(
                rf.RayClusterSpec(
                    name="train",
                    autoscaling=True,
                    worker_groups=(rf.WorkerGroup(name="cpu", replicas=1, min_replicas=0, max_replicas=8),),
                ),
            ),
        ),
        # Where that somebody put the operator, and which version it is: tokens are handed over as it can.
        operator_namespace=config.get("operatorNamespace") or "kuberay-system",
        operator_version=config.get("operatorVersion") or "1.6.2",
    ),
    pulumi.ResourceOptions(providers=[cluster.provider]),
)
train = workspace.clusters["train"]
pulumi.export("address", train.address)
pulumi.export("token", train.token)
