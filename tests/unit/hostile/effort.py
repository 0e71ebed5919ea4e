"""How many examples the generators try: few and always the same by default, so that a run says what the code
is like and not the dice; more and new ones where ``RAYFORT_FUZZ`` says how many times more.
"""

from __future__ import annotations

import os
from typing import Final

from hypothesis import HealthCheck, Phase, settings

TIMES: Final = int(os.environ.get("RAYFORT_FUZZ", "1"))


def examples(count: int, *, shrink: bool = True) -> settings:
    """Settings of a property that tries this many examples by default.

    Args:
        count: how many.
        shrink: whether to look for the smallest that fails, which runs hundreds: not where one takes seconds.
    """
    return settings(
        max_examples=count * TIMES,
        derandomize=TIMES == 1,
        deadline=None,  # busy machines
        phases=[phase for phase in Phase if shrink or phase not in (Phase.shrink, Phase.explain)],
        suppress_health_check=list(HealthCheck),
    )
