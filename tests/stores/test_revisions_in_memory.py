"""Revisions that nobody keeps: the same rules, without a disk."""

import pytest

from tollkeeper.core.errors import CallerError
from tollkeeper.core.revisions import Change
from tollkeeper.stores.memory.revisions import MemoryRevisions


def _commit(store: MemoryRevisions, after: int, *changes: Change) -> None:
    store.commit(changes, at=1, who="ada", face="test", what="test", after=after)


def test_what_is_committed_is_there_and_what_was_there_first_is_no_revision() -> None:
    store = MemoryRevisions()
    store.begin({"routes": {"a": {"uri": "/a"}}}, "there")
    _commit(store, 0, Change("routes", "b", None, {"uri": "/b"}))
    _commit(store, 1, Change("routes", "b", {"uri": "/b"}, {"uri": "/c"}), Change("routes", "a", {"uri": "/a"}, None))

    found, newest = store.load()
    assert newest == store.newest() == 2
    assert {id: (each.value["uri"], each.created, each.modified) for id, each in found["routes"].items()} == {
        "b": ("/c", 1, 2)
    }
    assert [each.number for each in store.history(10)] == [2, 1]
    assert [each.number for each in store.history(10, before=2)] == [1]
    assert store.get(3) is None


def test_two_who_change_the_same_state_do_not_both_succeed() -> None:
    store = MemoryRevisions()
    _commit(store, 0, Change("routes", "a", None, {}))
    with pytest.raises(CallerError, match="changed meanwhile"):
        _commit(store, 0, Change("routes", "a", None, {}))


def test_the_oldest_are_forgotten() -> None:
    store = MemoryRevisions(keep=2)
    for number in range(4):
        _commit(store, number, Change("routes", "a", None, {"uri": f"/{number}"}))
    assert [each.number for each in store.history(10)] == [4, 3]
