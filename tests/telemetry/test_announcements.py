"""Each thing that the gate says of itself is a line of its own, with what an operator needs to know."""

from typing import Any

import pytest

from tollkeeper.core.budget import parse
from tollkeeper.telemetry.announcements import Announcements


@pytest.fixture
def lines() -> list[tuple[str, dict[str, Any]]]:
    return []


@pytest.fixture
def announcements(lines: list[tuple[str, dict[str, Any]]]) -> Announcements:
    return Announcements(lambda what, **fields: lines.append((what, fields)))


def test_a_trouble_begins_with_its_reason_and_ends(
    announcements: Announcements, lines: list[tuple[str, dict[str, Any]]]
) -> None:
    for tell in (announcements.ledger, announcements.upkeep):
        tell("the disk is full")
        tell("")

    assert lines == [
        ("ledger_trouble", {"reason": "the disk is full"}),
        ("ledger_recovered", {"reason": "written again"}),
        ("upkeep_trouble", {"reason": "the disk is full"}),
        ("upkeep_recovered", {"reason": "done again"}),
    ]


def test_a_budget_is_told_in_its_unit(announcements: Announcements, lines: list[tuple[str, dict[str, Any]]]) -> None:
    announcements.budget_spent(parse("5 USD/day soft", "key", "key_1"), 5_250_000_000)

    [(what, fields)] = lines
    assert (what, fields["amount"], fields["spent"]) == ("budget_warning", "5 USD", "5.25 USD")


def test_what_held_the_gate_up_is_told_with_its_place_or_without(
    announcements: Announcements, lines: list[tuple[str, dict[str, Any]]]
) -> None:
    announcements.blocked(150, "slow.py:3")
    announcements.blocked(150, "")
    announcements.target("target_ejected", "up/m", {"seconds": 30})

    assert lines == [
        ("loop_blocked", {"ms": 150, "at": "slow.py:3"}),
        ("loop_blocked", {"ms": 150, "at": "?"}),
        ("target_ejected", {"name": "up/m", "seconds": 30}),
    ]
