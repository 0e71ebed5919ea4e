"""What changes inside a resource, without what must not be shown."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pulumi.automation.events import StepEventMetadata, StepEventStateMetadata
from pulumi.runtime import rpc

from rayfort.review.model import Property
from rayfort.review.paths import Segment, differences, split, value_at, write
from rayfort.review.secrets import MASK, Secrets

UNKNOWN: Final = object()
_LONGEST: Final = 60
_OWN: Final = frozenset({"__inputs", "__fieldManager", "__initialApiVersion", "__internal", "__defaults"})


def plain(value: Any) -> Any:
    """A state's values with masks for secrets, and `UNKNOWN` for what is not known yet."""
    if isinstance(value, Mapping):
        if value.get(rpc._special_sig_key) == rpc._special_secret_sig:
            return MASK
        return {str(key): plain(item) for key, item in value.items() if key not in _OWN}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return UNKNOWN if value == rpc.UNKNOWN else value


def inputs(state: StepEventStateMetadata | None) -> dict[str, Any]:
    """What the program says about a resource."""
    return plain(state.inputs or {}) if state else {}


def outputs(state: StepEventStateMetadata | None) -> dict[str, Any]:
    """What the provider says about a resource."""
    return plain(state.outputs or {}) if state else {}


class Differ:
    """What changes in one resource.

    Args:
        step: the engine's step.
    """

    def __init__(self, step: StepEventMetadata) -> None:
        self._step = step
        self._old, self._new = inputs(step.old), inputs(step.new)
        self._was = outputs(step.old)
        states = (self._old, self._new, self._was, outputs(step.new))
        name = step.urn.rpartition("::")[2]
        self._secrets = Secrets(step.type, name, states)

    @property
    def secrets(self) -> set[str]:
        """Texts that must not be shown anywhere."""
        return self._secrets.texts

    def changed(self) -> tuple[Property, ...]:
        """The changed properties, those that force a replacement first."""
        found = dict.fromkeys(self._paths())
        made = [self._property(place, forces) for place, forces in found]
        return tuple(sorted(made, key=lambda each: (not each.replaces, each.path)))

    def _paths(self) -> Iterator[tuple[tuple[Segment, ...], bool]]:
        detailed = self._step.detailed_diff or {}
        if detailed:
            for path, difference in detailed.items():
                yield split(path), difference.diff_kind.value.endswith("-replace")
            return
        keys = {split(key) for key in self._step.keys or []}
        if self._step.diffs or keys:
            for place in {split(path) for path in self._step.diffs or []} | keys:
                yield place, place in keys
        elif self._step.old and self._step.new:
            yield from ((place, False) for place in differences(self._old, self._new) if place)

    def _property(self, place: tuple[Segment, ...], forces: bool) -> Property:
        # What the program said before; where it said nothing, what the provider made of that.
        before = value_at(self._old, place)
        before = value_at(self._was, place) if before is None else before
        after = value_at(self._new, place)
        secret = self._secrets.hide(place, before) or self._secrets.hide(place, after)
        return Property(
            path=write(place),
            before=None if secret else _shown(before),
            after=None if secret else _shown(after),
            replaces=forces,
            secret=secret,
        )


def _shown(value: Any) -> str | None:
    """A value where it is short enough to be read in a line."""
    if value is UNKNOWN:
        return "known after up"
    if value is None or isinstance(value, Mapping | list):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONGEST else None
