"""Container images and the node's root file system, from packages: without Docker, without a registry."""
