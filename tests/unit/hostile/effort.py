"""How many examples the generators try: few and always the same by default, so that a run says what the code
is like and not the dice; more and new ones where ``RAYFORT_FUZZ`` says how many times more.
"""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, settings

TIMES: Final = int(os.environ.get("RAYFORT_FUZZ", "1"))


def examples(count: int) -> settings:
    """Settings of a property that tries this many examples by default."""
    return settings(
        max_examples=count * TIMES,
        derandomize=TIMES == 1,
        deadline=None,  # busy machines
        suppress_health_check=list(HealthCheck),
    )
