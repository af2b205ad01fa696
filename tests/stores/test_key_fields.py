"""A key's fields: given as an operator writes them, kept in columns, read back as they were; what cannot be is named."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tollkeeper.core import budget, rate
from tollkeeper.core.errors import CallerError
from tollkeeper.stores.sqlite.keys import KeyRing, KeyStore

NOW = 1_767_225_600.0
BUDGETS = ["5 USD/month Europe/Berlin", "4 USD/month Europe/Berlin soft", "1000000 tokens/day"]
LIMITS = ["60 requests/minute burst 20", "10 concurrent"]


@pytest.fixture
def store(home: Path) -> Iterator[KeyStore]:
    found = KeyStore(home, lambda: NOW, os.urandom)
    yield found
    found.close()


def test_budgets_and_limits_are_kept_as_they_were_given(store: KeyStore) -> None:
    made, _ = store.create("n", budgets=BUDGETS, limits=LIMITS)

    kept = store.get(made.id)
    assert kept == made
    assert [budget.shown(each) for each in kept.budgets] == BUDGETS
    assert [rate.shown(each) for each in kept.limits] == LIMITS
    assert {(each.scope, each.of) for each in (*kept.budgets, *kept.limits)} == {("key", made.id)}


def test_a_change_leaves_alone_what_it_does_not_name(store: KeyStore) -> None:
    made, _ = store.create("n", owner="ada", team="t", models=["a"], budgets=BUDGETS, limits=LIMITS)

    changed = store.change("n", {"budgets": ["9 USD"], "team": None})

    assert [budget.shown(each) for each in changed.budgets] == ["9 USD"]
    assert (changed.owner, changed.team, changed.models, changed.limits) == ("ada", None, ("a",), made.limits)
    assert store.change("n", {}) == changed


def test_a_change_can_take_everything_away(store: KeyStore) -> None:
    store.create("n", owner="ada", models=["a"], expires_at=int(NOW * 1000) + 1, budgets=BUDGETS, limits=LIMITS)

    bare = store.change("n", {"owner": None, "models": None, "expires_at": None, "budgets": [], "limits": []})

    assert (bare.owner, bare.models, bare.expires_at, bare.budgets, bare.limits) == (None, None, None, (), ())


def test_another_process_sees_a_change(home: Path, store: KeyStore) -> None:
    elsewhere = KeyStore(home, lambda: NOW, os.urandom)
    _, secret = store.create("n", budgets=BUDGETS)
    ring = KeyRing(store, lambda: NOW)

    elsewhere.change("n", {"budgets": ["7 USD/day"]})
    ring.poll()

    found = ring.find(secret.encode())
    assert found is not None
    assert [budget.shown(each) for each in found.budgets] == ["7 USD/day"]
    elsewhere.close()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "a\nb"),
        ("owner", "x" * 201),
        ("team", "\x00"),
        ("models", ["a", " "]),
        ("models", ["m"] * 1001),
        ("models", ["*-mini"]),
        ("expires_at", int(NOW * 1000)),
        ("expires_at", 253_402_300_800_000),
        ("budgets", ["5 USD/month", "lots"]),
        ("budgets", ["5 USD/month", "6 USD/month"]),
        ("budgets", ["5 USD/month Mars/Olympus"]),
        ("budgets", [f"{n} USD/day" for n in range(33)]),
        ("limits", ["fast"]),
        ("limits", ["5 concurrent", "6 concurrent"]),
    ],
)
def test_what_a_key_cannot_have_is_refused_by_name_and_changes_nothing(store: KeyStore, field: str, value: Any) -> None:
    made, _ = store.create("n", budgets=BUDGETS, limits=LIMITS)

    with pytest.raises(CallerError) as refused:
        store.change("n", {"owner": "somebody", field: value})
    with pytest.raises(CallerError):
        store.create(**{"name": "m", field: value})  # type: ignore[arg-type]

    assert (refused.value.status, refused.value.code, refused.value.param) == (400, "invalid_value", field)
    assert store.list() == [made]


def test_a_revoked_key_is_not_changed(store: KeyStore) -> None:
    store.create("n")
    store.revoke("n")

    with pytest.raises(CallerError) as refused:
        store.change("n", {"name": "m"})

    assert (refused.value.status, refused.value.code) == (409, "key_revoked")
