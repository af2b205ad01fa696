"""Times, counts and amounts as exports write them, and what is none of them."""

import pytest

from tollkeeper.core.errors import CallerError
from tollkeeper.metering.exports.lines import Line, added, count, moment, nano


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (1730419200, 1_730_419_200_000),
        ("1730419200", 1_730_419_200_000),
        (1730419200000, 1_730_419_200_000),
        ("2024-11-01", 1_730_419_200_000),
        ("2024-11-01T00:00:00Z", 1_730_419_200_000),
        ("2024-11-01T01:00:00+01:00", 1_730_419_200_000),
        ("2024-11-01 00:00:00.040", 1_730_419_200_040),
    ],
)
def test_a_time_is_read_in_every_spelling(given: object, expected: int) -> None:
    assert moment(given) == expected


@pytest.mark.parametrize("given", ["", "yesterday", "-5", None, "9e99", "NaN", "99999999999999999"])
def test_what_is_no_time_is_refused(given: object) -> None:
    with pytest.raises(CallerError, match="is no time"):
        moment(given)


@pytest.mark.parametrize(
    ("given", "expected"), [("10.0", 10), (3, 3), ("1,234", 1234), ("", None), (None, None), (0, 0)]
)
def test_counts(given: object, expected: int | None) -> None:
    assert count(given) == expected


@pytest.mark.parametrize("given", ["1.5", "-1", "ten", "1e30", "inf"])
def test_what_is_no_count_is_refused(given: str) -> None:
    with pytest.raises(CallerError):
        count(given)


@pytest.mark.parametrize(
    ("given", "cents", "expected"),
    [("0.0123", False, 12_300_000), (0.06, False, 60_000_000), ("$1,234.50", False, 1_234_500_000_000),
     ("123.45", True, 1_234_500_000), ("-0.5", False, -500_000_000), ("", False, None)],
)  # fmt: skip
def test_amounts_are_exact(given: object, cents: bool, expected: int | None) -> None:
    assert nano(given, cents=cents) == expected


def test_sums_of_nothing_are_nothing() -> None:
    assert added(None, None) is None
    assert added(None, 0, 3) == 3
    assert Line(start=0, end=60_000).says_nothing
    assert not Line(start=0, end=60_000, requests=0).says_nothing
