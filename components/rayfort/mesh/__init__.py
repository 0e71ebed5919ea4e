"""The service mesh: Istio, its mTLS policies, authorization, scope and telemetry."""
