"""One request's dossier: attempts in order, open holds, its refusal, and whose key it was."""

import os
import time
from pathlib import Path

from kit.ledgers import Other
from kit.records import NOW, event, hold, request_id, write
from tollkeeper.core.refusals import Refusal
from tollkeeper.stores.sqlite import refusals
from tollkeeper.stores.sqlite.keys import KeyStore


def test_it_has_all_of_one_request_and_nothing_of_others(store: Path, other: Other) -> None:
    first = event(attempt=1, outcome="upstream_error")
    third = event(request_id=first.request_id, attempt=3)
    second = hold(request_id=first.request_id, attempt=2)
    write(store, [third, first, event()], [second, hold()])

    found = other.reports.request(first.request_id)

    assert found.events == [first, third]
    assert found.holds == [second]
    assert found.refusal is None
    assert found.key_id == "key_1"
    assert found.key_name is None


def test_the_key_is_named_as_it_is_today(home: Path) -> None:
    keys = KeyStore(home, time.time, os.urandom)
    key, _ = keys.create("ada", owner="ann", team="red")
    keys.close()
    refused = Refusal(
        request_id=request_id(NOW),
        at=NOW,
        key_id=key.id,
        operation="chat",
        model_asked=None,
        status=404,
        code=None,
        message="no",
        notes="[]",
    )
    other = Other(home)
    refusals.put(other.connection, [refused], 10)

    found = other.reports.request(refused.request_id)
    other.close()

    assert found.refusal == refused
    assert (found.key_id, found.key_name, found.owner, found.team) == (key.id, "ada", "ann", "red")


def test_of_a_request_that_never_was_there_is_nothing(store: Path, other: Other) -> None:
    found = other.reports.request("0" * 32)

    assert (found.events, found.holds, found.refusal, found.key_id) == ([], [], None, None)
