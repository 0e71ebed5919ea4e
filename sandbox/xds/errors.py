"""What goes wrong between a sidecar and istiod."""

from sandbox.processes import SandboxError


class XdsError(SandboxError):
    """The configuration cannot be had; the message names the Pod, says what is wrong and what to do."""
