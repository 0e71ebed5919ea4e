"""Ray on Kubernetes: the operator, clusters, tokens and credentials."""
