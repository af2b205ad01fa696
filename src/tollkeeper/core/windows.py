"""Windows of time in which budgets are counted: the hour, day, week, calendar month of a time zone, or all time; pure."""

from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

Window = Literal["hour", "day", "week", "month", "total"]


def bounds(window: Window, zone: str, at_ms: int) -> tuple[int, int | None]:
    """[start, end) in Unix milliseconds of the window that `at_ms` lies in; no end where the window is `total`.

    Hours are those of UTC in every zone, weeks begin on Monday (ISO 8601), a day lasts 23 or 25 hours where clocks change.
    Raises ZoneInfoNotFoundError.
    """
    if window == "total":
        return 0, None
    if window == "hour":
        start = at_ms - at_ms % 3_600_000
        return start, start + 3_600_000
    local = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(_zone(zone))
    day = local.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None, fold=0)
    if window == "day":
        first, after = day, day + timedelta(days=1)
    elif window == "week":
        first = day - timedelta(days=day.weekday())
        after = first + timedelta(days=7)
    else:
        first = day.replace(day=1)
        after = (first + timedelta(days=32)).replace(day=1)
    return _ms(first, zone), _ms(after, zone)


def known(zone: str) -> bool:
    """Whether there is a time zone of that name."""
    try:
        _zone(zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return True


@lru_cache(64)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def _ms(midnight: datetime, zone: str) -> int:
    """Without `fold`: the moment of the jump where clocks jump over midnight, the first where it comes twice (PEP 495)."""
    return int(midnight.replace(tzinfo=_zone(zone)).timestamp() * 1000)
