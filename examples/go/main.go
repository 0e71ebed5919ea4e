// A mesh, the KubeRay operator and one team's Ray cluster, on a cluster that is there already.
package main

import (
	"github.com/pulumi/pulumi-kubernetes/sdk/v4/go/kubernetes"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"
	"github.com/pulumi/pulumi/sdk/v3/go/pulumi/config"
	"github.com/rayfort/pulumi-rayfort/sdk/go/rayfort"
)

func main() {
	pulumi.Run(func(ctx *pulumi.Context) error {
		settings := config.New(ctx, "")
		name := settings.Require("context")

		cluster, err := rayfort.NewExistingCluster(ctx, "cluster", &rayfort.ExistingClusterArgs{
			Kubeconfig: settings.RequireSecret("kubeconfig"),
			Context:    pulumi.String(name),
		})
		if err != nil {
			return err
		}
		provider, err := kubernetes.NewProvider(ctx, "kubernetes", &kubernetes.ProviderArgs{
			Kubeconfig:          cluster.Kubeconfig,
			ClusterIdentifier:   pulumi.String(name),
			EnableSecretMutable: pulumi.Bool(true),
		})
		if err != nil {
			return err
		}
		here := pulumi.Providers(provider)

		mesh, err := rayfort.NewIstioMesh(ctx, "mesh", nil, here)
		if err != nil {
			return err
		}
		operator, err := rayfort.NewKubeRayOperator(ctx, "operator", nil, here,
			pulumi.DependsOn([]pulumi.Resource{mesh}))
		if err != nil {
			return err
		}
		research, err := rayfort.NewRayWorkspace(ctx, "research", &rayfort.RayWorkspaceArgs{
			Spec: &rayfort.WorkspaceSpecArgs{
				Name:  pulumi.String("research"),
				Quota: pulumi.StringMap{"requests.cpu": pulumi.String("64")},
				Netrc: rayfort.NetrcEntryArray{&rayfort.NetrcEntryArgs{
					Machine:  pulumi.String("git.example.com"),
					Login:    pulumi.String("robot"),
					Password: settings.RequireSecret("netrcPassword"),
				}},
				Clusters: rayfort.RayClusterSpecArray{&rayfort.RayClusterSpecArgs{
					Name:    pulumi.String("ray"),
					Traffic: rayfort.TrafficL4,
					WorkerGroups: rayfort.WorkerGroupArray{&rayfort.WorkerGroupArgs{
						Name:     pulumi.String("small"),
						Replicas: pulumi.Int(1),
					}},
				}},
			},
		}, here, pulumi.DependsOn([]pulumi.Resource{operator}))
		if err != nil {
			return err
		}

		ray := research.Clusters.MapIndex(pulumi.String("ray"))
		ctx.Export("address", ray.Address())
		ctx.Export("token", ray.Token())
		return nil
	})
}
