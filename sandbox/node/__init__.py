"""A real node without Docker: kubelet and containerd in namespaces of their own, like a `kind` node."""
