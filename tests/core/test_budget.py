"""Budgets as text: what is read, shown and refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.properties import examples
from tollkeeper.core.budget import MOST, Budget, parse, parse_all, shown


def _of(text: str) -> Budget:
    return parse(text, "key", "key_1")


@pytest.mark.parametrize(
    ("text", "amount", "unit", "window", "zone", "kind"),
    [
        ("5 USD/month", 5_000_000_000, "usd", "month", "UTC", ""),
        ("0.000000001 USD/hour", 1, "usd", "hour", "UTC", ""),
        ("20 USD", 20_000_000_000, "usd", "total", "UTC", ""),
        ("20 usd/total", 20_000_000_000, "usd", "total", "UTC", ""),
        (" 1_000_000  tokens / day ", 1_000_000, "tokens", "day", "UTC", ""),
        ("1 token/week America/New_York", 1, "tokens", "week", "America/New_York", ""),
        ("50 USD/month Europe/Berlin soft", 50_000_000_000, "usd", "month", "Europe/Berlin", "soft"),
        ("50 USD/month adaptive Europe/Berlin", 50_000_000_000, "usd", "month", "Europe/Berlin", "adaptive"),
        ("0 USD/day", 0, "usd", "day", "UTC", ""),
    ],
)
def test_a_budget_is_read(text: str, amount: int, unit: str, window: str, zone: str, kind: str) -> None:
    budget = _of(text)

    assert (budget.amount, budget.unit, budget.window, budget.zone) == (amount, unit, window, zone)
    assert (budget.soft, budget.adaptive) == (kind == "soft", kind == "adaptive")
    assert (budget.scope, budget.of) == ("key", "key_1")


@pytest.mark.parametrize(
    ("text", "about"),
    [
        ("", "is no budget"),
        ("5", "is no budget"),
        ("-5 USD/month", "is no budget"),
        ("5.0.0 USD", "is no budget"),
        ("5 EUR/month", "'EUR' is no unit"),
        ("5 USD/year", "'year' is no window"),
        ("5 USD/month Mars/Olympus", "'Mars/Olympus' is neither a time zone"),
        ("5 USD/month ../../../etc/passwd", "neither a time zone"),
        ("5 USD/month Europe", "neither a time zone"),
        ("5 USD/month soft soft", "neither a time zone"),
        ("5 USD/hour Europe/Berlin", "only days, weeks and months"),
        ("5 USD Europe/Berlin", "only days, weeks and months"),
        ("5 USD/month soft adaptive", "holds nothing back"),
        ("0.0000000001 USD", "a whole number of 0.000000001 USD"),
        ("0.5 tokens", "a whole number of tokens"),
        ("1000000001 USD", "1000000000 USD at most"),
        ("9" * 190 + " USD", "at most"),
        ("9" * 500 + " USD", "is no budget"),
    ],
)
def test_what_is_no_budget_is_refused_and_said_why(text: str, about: str) -> None:
    with pytest.raises(ValueError, match=about):
        _of(text)


@given(
    amount=st.integers(0, MOST),
    unit=st.sampled_from(["usd", "tokens"]),
    window=st.sampled_from(["hour", "day", "week", "month", "total"]),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "Asia/Kathmandu"]),
    kind=st.sampled_from([{}, {"soft": True}, {"adaptive": True}]),
)
@examples(200)
def test_what_is_shown_is_read_back(amount: int, unit: str, window: str, zone: str, kind: dict[str, bool]) -> None:
    if window in ("hour", "total"):
        zone = "UTC"
    budget = Budget(scope="team", of="x", amount=amount, unit=unit, window=window, zone=zone, **kind)  # type: ignore[arg-type]

    assert parse(shown(budget), "team", "x") == budget


def test_two_that_bound_the_same_are_refused_but_one_may_warn_before_the_other_refuses() -> None:
    assert len(parse_all(["4 USD/month soft", "5 USD/month", "1 USD/day", "9 tokens/day"], "key", "k")) == 4
    with pytest.raises(ValueError, match="'5 USD/month' and '6 USD/month adaptive' bound the same"):
        parse_all(["5 USD/month", "6 USD/month adaptive"], "key", "k")
