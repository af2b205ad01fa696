"""Resources and revisions in the store."""

from pathlib import Path

import pytest

from tollkeeper.core.errors import CallerError
from tollkeeper.core.revisions import Change
from tollkeeper.stores.sqlite.revisions import SqliteRevisions


def commit(store: SqliteRevisions, after: int, *changes: Change) -> None:
    store.commit(changes, at=1, who="ada", face="test", what="test", after=after)


def test_what_is_committed_is_there_for_the_next_process_oldest_first(tmp_path: Path) -> None:
    store = SqliteRevisions(tmp_path)
    commit(store, 0, Change("routes", "b", None, {"uri": "/b"}), Change("routes", "a", None, {"uri": "/a"}))
    commit(store, 1, Change("routes", "b", {"uri": "/b"}, {"uri": "/c"}))
    store.close()

    again = SqliteRevisions(tmp_path)
    found, newest = again.load()
    again.close()

    assert newest == 2
    assert [(id, each.value["uri"], each.created, each.modified) for id, each in found["routes"].items()] == [
        ("b", "/c", 1, 2),
        ("a", "/a", 1, 1),
    ]


def test_two_who_change_the_same_state_do_not_both_succeed(tmp_path: Path) -> None:
    one, other = SqliteRevisions(tmp_path), SqliteRevisions(tmp_path)
    commit(one, 0, Change("routes", "a", None, {"uri": "/a"}))

    with pytest.raises(CallerError, match="changed meanwhile"):
        commit(other, 0, Change("routes", "a", None, {"uri": "/b"}))
    assert other.newest() == 1
    one.close()
    other.close()


def test_old_revisions_are_forgotten_and_numbers_go_on(tmp_path: Path) -> None:
    store = SqliteRevisions(tmp_path, keep=2)
    for number in range(4):
        commit(store, number, Change("routes", str(number), None, {"uri": "/"}))

    assert [each.number for each in store.history(10)] == [4, 3]
    assert [each.number for each in store.history(10, before=4)] == [3]
    assert store.get(1) is None
    assert len(store.load()[0]["routes"]) == 4
    store.close()
