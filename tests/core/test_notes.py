"""Notes are read back with their numbers named, and one that nobody knows is shown as it is."""

from typing import Any

import pytest

from tollkeeper.core import notes


@pytest.mark.parametrize(
    ("note", "expected"),
    [
        (
            ["limit", "key:k:requests:60", 60, 59, 1],
            {"id": "key:k:requests:60", "amount": 60, "remaining_before": 59, "taken": 1},
        ),
        (
            ["budget", "key:k:usd:day:UTC", "usd", 5_000_000_000, 1_500_000_000, 0, 1],
            {
                "id": "key:k:usd:day:UTC",
                "unit": "usd",
                "amount": "5",
                "spent": "1.5",
                "held": "0",
                "ceiling": "0.000000001",
            },
        ),
        (
            ["budget", "all:tokens:day:UTC", "tokens", 50, 10, 20, 30, 7],
            {
                "id": "all:tokens:day:UTC",
                "unit": "tokens",
                "amount": 50,
                "spent": 10,
                "held": 20,
                "ceiling": 30,
                "adaptive_held": 7,
            },
        ),
        (["cache", "hit", 2_000_000_000], {"result": "hit", "saved_usd": "2"}),
        (["clamped", "max_tokens", 512], {"field": "max_tokens", "value": 512}),
        (["overdraft", "key:k:usd:day:UTC", 5], {"id": "key:k:usd:day:UTC", "over": "0.000000005"}),
        (["overdraft", "all:tokens:day:UTC", 5], {"id": "all:tokens:day:UTC", "over": 5}),
        (["new", 1, "two"], {"values": [1, "two"]}),
        (["limit", "fewer"], {"values": ["fewer"]}),
    ],
)
def test_the_numbers_of_a_note_have_names(note: list[Any], expected: dict[str, Any]) -> None:
    assert notes.rules([note]) == [{"rule": note[0], **expected}]


def test_targets_are_told_apart_from_rules_and_prices_from_both() -> None:
    found = [["target", "a/b", "ordered"], ["price", 1], ["cache", "miss", 0], ["skipped", "c/d", "full"]]

    assert [rule["rule"] for rule in notes.rules(found)] == ["cache"]
    assert notes.targets(found) == [
        {"target": "a/b", "chosen": True, "reason": "ordered"},
        {"target": "c/d", "chosen": False, "reason": "full"},
    ]
