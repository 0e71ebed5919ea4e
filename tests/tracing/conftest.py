"""Tests of traces use the sandbox of the tests with containers."""

from tests.e2e.conftest import machine_before, sandbox

__all__ = ["machine_before", "sandbox"]
