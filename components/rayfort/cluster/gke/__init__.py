"""A hardened GKE cluster. Only `component` and what it wires import Pulumi's classes for Google Cloud."""
