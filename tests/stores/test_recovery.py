"""Recovery: what a crash left open becomes an event, once, whole or not at all."""

from pathlib import Path

import pytest

from kit.ledgers import Other
from kit.records import NOW, ending, event, hold, write
from tollkeeper.core.events import Hold
from tollkeeper.core.money import Price
from tollkeeper.core.usage import Usage
from tollkeeper.stores.sqlite.recovery import detached, recover


def test_recovery_makes_an_event_of_each_open_hold_once(store: Path, other: Other) -> None:
    ended, open_one = hold(), hold(owner="o", model=None, model_asked=None, streamed=True, input_bound=321)
    kept = ending(ended)
    write(store, [kept], [ended, open_one])
    asked: list[Hold] = []

    def price(held: Hold) -> Price | None:
        asked.append(held)
        return Price(version="v", input=20_000, request=1)

    assert [recover(store, price, NOW) for _ in range(3)] == [1, 0, 0]

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
        recover(store, lambda held: next(prices), NOW)

    assert other.counts() == (2, 0)
    assert recover(store, lambda held: None, NOW) == 2
    assert {found.cost_nano for found in other.every_event()} == {None}


def test_what_a_provider_goes_on_with_stays_open_until_it_expires(store: Path, other: Other) -> None:
    batch = hold(request_id="tk1", detached=True, expires_at=NOW + 1000, held_nano=50, held_tokens=None)
    write(store, [], [batch, hold()])

    assert recover(store, lambda held: None, NOW) == 1
    assert detached(store) == [batch]
    assert other.counts() == (1, 1)

    assert recover(store, lambda held: Price(version="v", input=1_000_000), NOW + 1000) == 1
    assert detached(store) == []
    assert [found.cost_nano for found in other.every_event() if found.request_id == "tk1"] == [100]


def test_of_what_a_provider_goes_on_with_only_what_is_not_spent_is_held(store: Path) -> None:
    batch = hold(request_id="tk1", detached=True, held_nano=10_000, held_tokens=20)
    small = hold(request_id="tk2", detached=True, held_nano=1, held_tokens=None)
    ended = [event(request_id=name) for name in ("tk1-0", "tk1-17", "tk10-1", "tk2-1", "tk", "tk1.5")]
    write(store, ended, [batch, small])

    found = detached(store)

    assert [(each.request_id, each.held_nano, each.held_tokens) for each in found] == [
        ("tk1", 10_000 - 2 * 3150, 0),
        ("tk2", 0, None),
    ]


def test_of_a_batch_that_has_expired_only_the_input_is_charged_whose_rows_were_not(store: Path, other: Other) -> None:
    batch = hold(request_id="tk1", detached=True, expires_at=NOW + 1000, input_bound=100)
    write(store, [event(request_id="tk1-0"), event(request_id="tk1-7")], [batch])

    recover(store, lambda held: Price(version="v", input=1_000_000), NOW + 1000)

    assert [each.usage.input_tokens for each in other.every_event() if each.request_id == "tk1"] == [100 - 2 * 9]
