"""Recovery: what a crash left open becomes an event, once, whole or not at all."""

from pathlib import Path

import pytest

from kit.ledgers import Other
from kit.records import ending, hold, write
from tollkeeper.core.events import Hold
from tollkeeper.core.money import Price
from tollkeeper.core.usage import Usage
from tollkeeper.stores.sqlite.recovery import recover


def test_recovery_makes_an_event_of_each_open_hold_once(store: Path, other: Other) -> None:
    ended, open_one = hold(), hold(owner="o", model=None, model_asked=None, streamed=True, input_bound=321)
    kept = ending(ended)
    write(store, [kept], [ended, open_one])
    asked: list[Hold] = []

    def price(held: Hold) -> Price | None:
        asked.append(held)
        return Price(version="v", input=20_000, request=1)

    assert [recover(store, price) for _ in range(3)] == [1, 0, 0]

    assert asked == [open_one]
    assert other.counts() == (0, 2)
    recovered, found = other.reports.events()
    assert found == kept
    assert (recovered.request_id, recovered.quality, recovered.outcome) == (open_one.request_id, "recovered", "unknown")
    assert (recovered.owner, recovered.model, recovered.streamed) == ("o", None, True)
    assert (recovered.cost_nano, recovered.price_version, recovered.usage) == (7, "v", Usage(input_tokens=321))
    assert recovered.trace == '[["price",20000,0,null,null,null,null,null,1]]'


def test_a_recovery_that_breaks_off_changes_nothing(store: Path, other: Other) -> None:
    write(store, [], [hold(), hold()])
    prices = iter([Price(version="v")])

    with pytest.raises(StopIteration):
        recover(store, lambda held: next(prices))

    assert other.counts() == (2, 0)
    assert recover(store, lambda held: None) == 2
    assert {found.cost_nano for found in other.reports.every_event()} == {None}
