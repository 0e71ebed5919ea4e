"""All rules, and for which stage of a stack which level holds."""

import re
from typing import Final

from rayfort.policies import exposure, fences, gke, leaks, mesh, pods, protection, ray
from rayfort.policies.rule import Rule, Stage

RULES: Final[tuple[Rule, ...]] = (
    *mesh.RULES,
    *ray.RULES,
    *leaks.RULES,
    *exposure.RULES,
    *pods.RULES,
    *fences.RULES,
    *gke.RULES,
    *protection.RULES,
)
# Parts of a stack's name that say that it is for development.
DEVELOPMENT: Final = frozenset(
    {"ci", "dev", "development", "kind", "local", "playground", "sandbox", "test", "testing"}
)


def stage_of(stack: str, stated: str | None = None) -> Stage:
    """What a stack is for; whatever its name does not say is production.

    Args:
        stack: its name, such as ``gke-dev``.
        stated: what its configuration says (``rayfort-policies:stage``), which wins.

    Raises:
        ValueError: if it says neither ``development`` nor ``production``.
    """
    if stated:
        try:
            return Stage(stated)
        except ValueError:
            known = " or ".join(Stage)
            raise ValueError(f"rayfort-policies:stage: {stated} is no stage; set it to {known}") from None
    words = set(re.split(r"[^a-z0-9]+", stack.lower()))
    return Stage.DEVELOPMENT if words & DEVELOPMENT else Stage.PRODUCTION
