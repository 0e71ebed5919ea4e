"""Speaking with istiod as a sidecar does, to see what it would make a sidecar do."""
