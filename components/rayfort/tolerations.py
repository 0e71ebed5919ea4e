"""Tolerations, by the rules of Kubernetes' API server: KubeRay hands them on without a look."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field, model_validator

from rayfort.metadata import LabelName, LabelValue
from rayfort.model import JsonObject, Model


class Operator(StrEnum):
    """How a toleration is compared with a taint."""

    EXISTS = "Exists"
    EQUAL = "Equal"


class Effect(StrEnum):
    """What a taint does."""

    NO_SCHEDULE = "NoSchedule"
    PREFER_NO_SCHEDULE = "PreferNoSchedule"
    NO_EXECUTE = "NoExecute"


class Toleration(Model):
    """A taint that a Pod takes.

    Args:
        key: the taint's name; every one where it is left out.
        operator: ``Exists``, or ``Equal`` to a value.
        value: the taint's value.
        effect: the taint's effect; every one where it is left out.
        toleration_seconds: how long a Pod stays on a node with such a taint, in seconds.
    """

    key: LabelName | None = None
    operator: Operator = Operator.EQUAL
    value: LabelValue = ""
    effect: Effect | None = None
    toleration_seconds: Annotated[int, Field(ge=-(2**53), le=2**53, strict=True)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> "Toleration":
        if self.key is None and self.operator is not Operator.EXISTS:
            raise ValueError("a toleration without `key` needs `operator: Exists`; set one of them")
        if self.value and self.operator is Operator.EXISTS:
            raise ValueError("a toleration with `operator: Exists` has no `value`; remove one of them")
        if self.toleration_seconds is not None and self.effect is not Effect.NO_EXECUTE:
            raise ValueError("`tolerationSeconds` belongs to the effect NoExecute; set that, or remove it")
        return self

    @property
    def written(self) -> JsonObject:
        """The toleration as a Pod's spec says it."""
        written: JsonObject = self.model_dump(
            mode="json", by_alias=True, exclude_unset=True, exclude_none=True
        )
        return written
