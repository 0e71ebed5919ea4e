"""A mesh, the KubeRay operator and one team's Ray cluster, on a cluster that is there already."""

import pulumi
import rayfort as rf

config = pulumi.Config()
kubeconfig, context = config.require_secret("kubeconfig"), config.require("context")
cluster = rf.ExistingCluster("cluster", rf.ExistingClusterArgs(kubeconfig=kubeconfig, context=context))
here = pulumi.ResourceOptions(providers=[cluster.provider])
mesh = rf.IstioMesh("mesh", rf.IstioMeshArgs(**config.get_object("mesh", {})), here)
after = pulumi.ResourceOptions(providers=[cluster.provider], depends_on=[mesh])
operator = rf.KubeRayOperator("operator", rf.KubeRayOperatorArgs(**config.get_object("operator", {})), after)
team = rf.WorkspaceSpec(name="research", clusters=(rf.RayClusterSpec(name="ray"),))
last = pulumi.ResourceOptions(providers=[cluster.provider], depends_on=[operator])
research = rf.RayWorkspace("research", rf.RayWorkspaceArgs(spec=team), last)
pulumi.export("address", research.clusters["ray"].address)
