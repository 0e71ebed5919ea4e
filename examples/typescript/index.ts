// A mesh, the KubeRay operator and one team's Ray cluster, on a cluster that is there already.
import * as kubernetes from "@pulumi/kubernetes";
import * as pulumi from "@pulumi/pulumi";
import * as rayfort from "@rayfort/rayfort";

const config = new pulumi.Config();
const context = config.require("context");

const cluster = new rayfort.ExistingCluster("cluster", {
  kubeconfig: config.requireSecret("kubeconfig"),
  context,
});
const provider = new kubernetes.Provider("kubernetes", {
  kubeconfig: cluster.kubeconfig,
  clusterIdentifier: context,
  enableSecretMutable: true,
});
const providers = { kubernetes: provider };

const mesh = new rayfort.IstioMesh("mesh", {}, { providers });
const operator = new rayfort.KubeRayOperator("operator", {}, { providers, dependsOn: [mesh] });
const research = new rayfort.RayWorkspace(
  "research",
  {
    spec: {
      name: "research",
      quota: { "requests.cpu": "64" },
      netrc: [{ machine: "git.example.com", login: "robot", password: config.requireSecret("netrcPassword") }],
      clusters: [{ name: "ray", traffic: rayfort.Traffic.L4, workerGroups: [{ name: "small", replicas: 1 }] }],
    },
  },
  { providers, dependsOn: [operator] },
);

export const address = research.clusters.apply((clusters) => clusters["ray"].address);
export const token = research.clusters.apply((clusters) => clusters["ray"].token);
