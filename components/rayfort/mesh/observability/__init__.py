"""Prometheus, Kiali and Jaeger for the mesh, wired to each other and in the mesh themselves."""
