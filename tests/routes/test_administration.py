"""Changes of routes without a gate: drafts, conflicts, expiry, undo."""

from pathlib import Path
from typing import Any

import pytest

from tollkeeper import plugins
from tollkeeper.core.errors import CallerError
from tollkeeper.routes.administration import Actor, Administration, merged
from tollkeeper.routes.checking import Checker
from tollkeeper.routes.registry import Registry
from tollkeeper.stores.sqlite.revisions import SqliteRevisions

ME = Actor("ada", "test")
UP = {"nodes": {"192.0.2.1:80": 1}}


class Clock:
    """A time that tests set."""

    at = 1000.0

    def __call__(self) -> float:
        return self.at


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def effective() -> dict[tuple[str, str], Any]:
    """What requests would meet."""
    return {}


@pytest.fixture
def administration(tmp_path: Path, clock: Clock, effective: dict[tuple[str, str], Any]) -> Any:
    store = SqliteRevisions(tmp_path)
    yield Administration(
        store,
        Checker(Registry(plugins), lambda address: True),
        clock,
        lambda kind, id, value: effective.__setitem__((kind, id), value),
        lambda kind, id: effective.pop((kind, id)),
    )
    store.close()


def put(administration: Administration, kind: str, id: str, value: dict[str, Any], ttl: float | None = None) -> None:
    draft = administration.draft()
    administration.put(draft, kind, id, value, ttl)
    administration.check(draft)
    administration.commit(draft, ME, f"put {id}")


def test_a_draft_that_is_made_for_another_state_is_not_committed(administration: Administration) -> None:
    draft = administration.draft()
    administration.put(draft, "upstreams", "1", UP)
    put(administration, "upstreams", "2", UP)

    with pytest.raises(CallerError, match="changed meanwhile"):
        administration.commit(draft, ME, "late")
    assert administration.get("upstreams", "1") is None


def test_a_draft_is_checked_as_a_whole_and_counts_as_one_revision(
    administration: Administration, effective: dict[tuple[str, str], Any]
) -> None:
    draft = administration.draft()
    administration.put(draft, "routes", "1", {"uri": "/", "upstream_id": "u"})
    with pytest.raises(CallerError, match=r"failed to fetch upstream info by upstream id \[u\]"):
        administration.check(draft)
    administration.put(draft, "upstreams", "u", UP)
    administration.check(draft)
    done = administration.commit(draft, ME, "both")

    assert done is not None
    assert (done.number, len(done.changes), set(effective)) == (1, 2, {("routes", "1"), ("upstreams", "u")})
    assert administration.commit(administration.draft(), ME, "nothing") is None


def test_what_expires_is_gone_and_that_is_a_revision_too(
    administration: Administration, clock: Clock, effective: dict[tuple[str, str], Any]
) -> None:
    put(administration, "upstreams", "1", UP, ttl=10)
    clock.at += 9
    administration.poll()
    assert ("upstreams", "1") in effective

    clock.at += 2
    administration.poll()
    assert effective == {}
    assert administration.history()[0].what == "expire upstreams/1"


def test_another_process_s_change_is_noticed(administration: Administration, tmp_path: Path, clock: Clock) -> None:
    other_store = SqliteRevisions(tmp_path)
    other = Administration(other_store, administration.checker, clock, lambda *_: None, lambda *_: None)
    put(other, "upstreams", "1", UP)
    other_store.close()

    administration.poll()

    assert administration.get("upstreams", "1") is not None


def test_undo_restores_what_was_and_refuses_what_cannot_be_again(administration: Administration) -> None:
    put(administration, "upstreams", "1", UP)
    put(administration, "routes", "r", {"uri": "/", "upstream_id": "1"})

    with pytest.raises(CallerError, match=r"route \[r\] is still using it"):
        administration.undo(1, ME)
    administration.undo(2, ME)
    administration.undo(1, ME)
    assert administration.stored.get("upstreams") == {}
    with pytest.raises(CallerError, match="no revision 99"):
        administration.undo(99, ME)


def test_what_a_file_owned_goes_with_it_and_what_others_set_stays(administration: Administration) -> None:
    put(administration, "upstreams", "admin", UP)
    administration.apply({"upstreams": {"a": UP, "b": UP}}, Actor("config", "config"), "config", owned="config")
    administration.apply({"upstreams": {"b": UP}}, Actor("config", "config"), "config", owned="config")

    assert set(administration.stored["upstreams"]) == {"admin", "b"}
    assert administration.apply({"upstreams": {"b": UP}}, ME, "again", owned="config") is None


@pytest.mark.parametrize(
    ("value", "change", "wanted"),
    [
        ({"a": 1, "b": {"c": 1, "d": 2}}, {"b": {"c": None, "e": 3}}, {"a": 1, "b": {"d": 2, "e": 3}}),
        ({"a": [1, 2]}, {"a": [3]}, {"a": [3]}),
        ({"a": 1}, {"a": {"b": None}}, {"a": {}}),
    ],
)
def test_a_patch_is_merged(value: Any, change: Any, wanted: Any) -> None:
    assert merged(value, change) == wanted
