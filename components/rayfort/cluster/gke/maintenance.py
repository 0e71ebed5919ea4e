"""When Google may change the cluster.

Source: https://cloud.google.com/kubernetes-engine/docs/concepts/maintenance-windows-and-exclusions.
"""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated, Final

from pydantic import Field, field_validator, model_validator

from rayfort.model import DnsLabel, Model, Written

LEAST_HOURS: Final = 4
ROLLING_DAYS: Final = 32
LEAST_HOURS_IN_ROLLING: Final = 48
LONGEST_WITHOUT_UPGRADES: Final = 90
# Windows repeat from a day in the past, which never changes: it was a Saturday.
FIRST: Final = datetime(2025, 1, 4, tzinfo=UTC)

TimeOfDay = Annotated[
    str, Written(r"([01][0-9]|2[0-3]):[0-5][0-9]", "is not a time of day in UTC; write for example 02:00")
]
Moment = Annotated[
    str,
    Written(
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z",
        "is not a moment in UTC; write for example 2027-12-20T00:00:00Z",
    ),
]


class Weekday(StrEnum):
    """A day of the week, as calendars write it."""

    MONDAY = "MO"
    TUESDAY = "TU"
    WEDNESDAY = "WE"
    THURSDAY = "TH"
    FRIDAY = "FR"
    SATURDAY = "SA"
    SUNDAY = "SU"


class ExclusionScope(StrEnum):
    """What does not happen during an exclusion."""

    NO_UPGRADES = "NO_UPGRADES"
    NO_MINOR_UPGRADES = "NO_MINOR_UPGRADES"
    NO_MINOR_OR_NODE_UPGRADES = "NO_MINOR_OR_NODE_UPGRADES"


class MaintenanceExclusion(Model):
    """A time without upgrades.

    Args:
        name: its name.
        start, end: when it begins and ends, in UTC, such as ``2027-12-20T00:00:00Z``.
        scope: what does not happen: ``NO_UPGRADES``, ``NO_MINOR_UPGRADES`` or ``NO_MINOR_OR_NODE_UPGRADES``.
    """

    name: DnsLabel
    start: Moment
    end: Moment
    scope: ExclusionScope = ExclusionScope.NO_MINOR_UPGRADES

    @field_validator("start", "end")
    @classmethod
    def _is_in_the_calendar(cls, value: str) -> str:
        try:
            datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value} is not in the calendar; correct it") from None
        return value

    @model_validator(mode="after")
    def _lasts(self) -> "MaintenanceExclusion":
        length = datetime.fromisoformat(self.end) - datetime.fromisoformat(self.start)
        if length <= timedelta():
            raise ValueError(f"exclusion {self.name} ends before it starts; exchange start and end")
        if self.scope is ExclusionScope.NO_UPGRADES and length > timedelta(days=LONGEST_WITHOUT_UPGRADES):
            raise ValueError(
                f"exclusion {self.name} lasts {length.days} days, and GKE goes without any upgrade for "
                f"{LONGEST_WITHOUT_UPGRADES} at most; shorten it, or set scope to NO_MINOR_UPGRADES"
            )
        return self


class Maintenance(Model):
    """The recurring window in which Google upgrades the cluster, and exclusions from it.

    Args:
        start: when it begins, in UTC, such as ``02:00``.
        hours: how long it lasts, 4 to 24.
        days: the days on which it begins.
        exclusions: times without upgrades.
    """

    start: TimeOfDay = "02:00"
    hours: Annotated[int, Field(le=24, strict=True)] = 6
    days: Annotated[tuple[Weekday, ...], Field(min_length=1)] = (Weekday.SATURDAY, Weekday.SUNDAY)
    exclusions: tuple[MaintenanceExclusion, ...] = ()

    @field_validator("hours")
    @classmethod
    def _long_enough(cls, value: int) -> int:
        if value < LEAST_HOURS:
            raise ValueError(f"GKE counts windows of at least {LEAST_HOURS} hours; lengthen it")
        return value

    @model_validator(mode="after")
    def _often_enough(self) -> "Maintenance":
        hours = len(set(self.days)) * self.hours * ROLLING_DAYS // 7
        if hours < LEAST_HOURS_IN_ROLLING:
            raise ValueError(
                f"{hours} hours in {ROLLING_DAYS} days, and GKE asks for {LEAST_HOURS_IN_ROLLING}; lengthen "
                "hours, or add days"
            )
        return self

    @property
    def first(self) -> tuple[str, str]:
        """Start and end of the first window, which the others repeat."""
        hour, minute = (int(part) for part in self.start.split(":"))
        start = FIRST + timedelta(hours=hour, minutes=minute)
        return _text(start), _text(start + timedelta(hours=self.hours))

    @property
    def recurrence(self) -> str:
        """When it repeats, as RFC 5545 writes it."""
        days = [day.value for day in Weekday if day in self.days]
        return f"FREQ=WEEKLY;BYDAY={','.join(days)}"


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
