"""Fixtures that the unit tests share."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

# Machines that are busy with other work must not fail a property by its run time.
settings.register_profile("rayfort", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("rayfort")


@pytest.fixture(params=[True, False], ids=["preview", "update"])
def preview(request: pytest.FixtureRequest) -> bool:
    """Both ways in which Pulumi runs a program: in a preview, what providers compute is unknown."""
    return bool(request.param)
