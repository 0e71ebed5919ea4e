"""What a cluster tells about itself: logs and metrics, as Google's API wants them."""

from typing import Final

from pulumi_gcp import container

# The API server's requests and the controllers' doings are what an investigation starts from.
LOGGED: Final = ("SYSTEM_COMPONENTS", "WORKLOADS", "APISERVER", "SCHEDULER", "CONTROLLER_MANAGER")
MEASURED: Final = (
    "SYSTEM_COMPONENTS",
    "APISERVER",
    "SCHEDULER",
    "CONTROLLER_MANAGER",
    "STORAGE",
    "POD",
    "DAEMONSET",
    "DEPLOYMENT",
    "STATEFULSET",
    "KUBELET",
    "CADVISOR",
    "DCGM",  # GPUs
)


def logging_args() -> container.ClusterLoggingConfigArgs:
    """What goes to Cloud Logging."""
    return container.ClusterLoggingConfigArgs(enable_components=list(LOGGED))


def monitoring_args() -> container.ClusterMonitoringConfigArgs:
    """What goes to Cloud Monitoring, with Managed Prometheus and the data plane's metrics."""
    return container.ClusterMonitoringConfigArgs(
        enable_components=list(MEASURED),
        managed_prometheus=container.ClusterMonitoringConfigManagedPrometheusArgs(enabled=True),
        advanced_datapath_observability_config=(
            container.ClusterMonitoringConfigAdvancedDatapathObservabilityConfigArgs(
                enable_metrics=True, enable_relay=False
            )
        ),
    )
