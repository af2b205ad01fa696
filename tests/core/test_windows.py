"""Where the windows of budgets begin and end, in zones whose clocks change."""

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from tollkeeper.core.windows import Window, bounds


def ms(text: str, zone: str = "UTC") -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp() * 1000)


@pytest.mark.parametrize(
    ("window", "zone", "at", "start", "end"),
    [
        ("hour", "UTC", "2026-11-21T09:59:59.999", "2026-11-21T09:00", "2026-11-21T10:00"),
        ("hour", "Asia/Kathmandu", "2026-11-21T09:14", "2026-11-21T08:45", "2026-11-21T09:45"),
        ("day", "UTC", "2026-11-21T00:00", "2026-11-21T00:00", "2026-11-22T00:00"),
        ("day", "Asia/Tokyo", "2026-11-21T23:59", "2026-11-21T00:00", "2026-11-22T00:00"),
        ("week", "UTC", "2026-11-22T12:00", "2026-11-16T00:00", "2026-11-23T00:00"),
        ("week", "America/New_York", "2026-11-01T12:00", "2026-10-26T00:00", "2026-11-02T00:00"),
        ("month", "Europe/Berlin", "2026-03-31T23:59", "2026-03-01T00:00", "2026-04-01T00:00"),
        ("month", "UTC", "2026-12-31T23:59", "2026-12-01T00:00", "2027-01-01T00:00"),
    ],
)
def test_a_window_holds_its_moment(window: Window, zone: str, at: str, start: str, end: str) -> None:
    assert bounds(window, zone, ms(at, zone)) == (ms(start, zone), ms(end, zone))


def test_a_day_on_which_clocks_change_has_23_or_25_hours() -> None:
    spring = bounds("day", "Europe/Berlin", ms("2026-03-29T12:00", "Europe/Berlin"))
    autumn = bounds("day", "Europe/Berlin", ms("2026-10-25T12:00", "Europe/Berlin"))
    assert spring[1] is not None
    assert autumn[1] is not None
    assert (spring[1] - spring[0]) // 3_600_000 == 23
    assert (autumn[1] - autumn[0]) // 3_600_000 == 25


def test_a_day_without_a_midnight_begins_when_the_clocks_jump() -> None:
    # Beirut's clocks jump from 00:00 to 01:00: the day before ends where this one begins.
    before = bounds("day", "Asia/Beirut", ms("2026-03-28T12:00", "Asia/Beirut"))
    day = bounds("day", "Asia/Beirut", ms("2026-03-29T12:00", "Asia/Beirut"))
    assert before[1] == day[0] == ms("2026-03-29T01:00", "Asia/Beirut")


@pytest.mark.parametrize("window", ["day", "month"])
def test_a_day_with_two_midnights_begins_at_the_first(window: Window) -> None:
    # Havana's clocks go back from 01:00 to 00:00 on the first of November, which is 05:00 in UTC.
    first = ms("2026-11-01T04:00")
    before = bounds(window, "America/Havana", first - 1)
    windows = {bounds(window, "America/Havana", first + minutes * 60_000) for minutes in range(0, 240, 15)}
    assert {start for start, _ in windows} == {before[1]} == {first}
    assert len(windows) == 1


def test_every_moment_of_two_years_lies_in_its_windows_and_windows_meet() -> None:
    windows: tuple[Window, ...] = ("hour", "day", "week", "month")
    for zone in ("UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia", "Australia/Lord_Howe"):
        for window in windows:
            at = ms("2026-01-01T00:00")
            while at < ms("2027-12-31T00:00"):
                start, end = bounds(window, zone, at)
                assert end is not None
                assert start <= at < end
                assert bounds(window, zone, start) == (start, end)
                assert bounds(window, zone, end)[0] == end
                at += 7 * 3_600_000 + 1_234_567


def test_all_time_has_no_end() -> None:
    assert bounds("total", "UTC", ms("2026-11-21T00:00")) == (0, None)
