"""A table that is busy is asked again, one that refuses is not, and a page is not taken for all there is."""

import asyncio
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kit.dynamodb import CREDENTIALS, REGION, blocking, moto, new_place, opened
from kit.scripted import Connection, Request, ScriptedUpstream, json_answer
from tollkeeper.core.errors import CallerError, ConfigError, GateError
from tollkeeper.stores.dynamodb.keys import DynamoKeyStore
from tollkeeper.stores.dynamodb.table import Place, place_of

BUSY = json_answer(400, {"__type": "com.amazonaws.dynamodb.v20120810#ThrottlingException"})
DENIED = json_answer(400, {"__type": "com.amazon.coral.service#AccessDeniedException"})
FOUND = json_answer(200, {"Item": {"pk": {"S": "a"}, "sk": {"S": "b"}, "n": {"N": "7"}}})


def place(url: str) -> Place:
    return Place("t", REGION, url, lambda: CREDENTIALS)


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto(tmp_path_factory.mktemp("moto")) as address:
        yield address


def test_what_is_busy_is_asked_again_and_what_breaks_off_too() -> None:
    answers = iter([BUSY, lambda request, connection: False, FOUND])

    def script(request: Request, connection: Connection) -> bool | None:
        return next(answers)(request, connection)

    async def ask() -> object:
        async with opened(place(upstream.url)) as table:
            return await table.get("a", "b")

    with ScriptedUpstream(script) as upstream:
        assert asyncio.run(ask()) == {"pk": "a", "sk": "b", "n": 7}
        assert len(upstream.requests) == 3
        assert upstream.requests[0].headers["x-amz-target"] == "DynamoDB_20120810.GetItem"


def test_what_is_refused_is_not_asked_again() -> None:
    async def ask() -> None:
        async with opened(place(upstream.url)) as table:
            with pytest.raises(GateError, match="AccessDenied"):
                await table.get("a", "b")

    with ScriptedUpstream(DENIED) as upstream:
        asyncio.run(ask())
        with pytest.raises(GateError, match="AccessDenied"):
            blocking(place(upstream.url)).get("a", "b")
        assert len(upstream.requests) == 2


def test_every_page_is_asked_for() -> None:
    items = [{"pk": {"S": "a"}, "sk": {"S": str(number)}} for number in range(3)]
    pages = iter([{"Items": items[:2], "LastEvaluatedKey": items[1]}, {"Items": items[2:]}])

    async def ask() -> list[object]:
        async with opened(place(upstream.url)) as table:
            return [item["sk"] for item in await table.query("a")]

    with ScriptedUpstream(lambda request, connection: json_answer(200, next(pages))(request, connection)) as upstream:
        assert asyncio.run(ask()) == ["0", "1", "2"]
        assert json.loads(upstream.requests[1].body)["ExclusiveStartKey"] == items[1]


def test_an_environment_that_names_no_table_is_told_what_is_missing() -> None:
    with pytest.raises(ConfigError) as raised:
        place_of({"AWS_REGION": REGION})

    assert raised.value.problems == ["TOLLKEEPER_TABLE is not set.", "AWS_ACCESS_KEY_ID is not set."]


def test_two_who_change_one_key_at_once_do_not_undo_each_other(url: str) -> None:
    there = new_place(url)
    ours, theirs = (DynamoKeyStore(blocking(there), "p", time.time, lambda size: bytes(range(size))) for _ in range(2))
    key, secret = ours.create("ada", team="red")
    before = ours.changes()
    found = ours._find(key.id)
    ours._find = lambda reference: found  # type: ignore[method-assign] - it has looked, and is slow to write
    theirs.revoke("ada")

    with pytest.raises(CallerError, match="somebody else"):
        ours.change("ada", {"team": "blue"})

    assert theirs.get("ada").revoked_at is not None
    assert theirs.changes() > before
    assert secret.startswith(key.shown)


def test_keys_are_found_by_id_or_by_a_name_that_only_one_has(url: str, tmp_path: Path) -> None:
    numbers = iter(range(100))
    store = DynamoKeyStore(blocking(new_place(url)), "p", time.time, lambda size: bytes([next(numbers)]) * size)
    ada, _ = store.create("ada")
    store.create("bob")
    store.create("bob")

    assert store.get("ada") == store.get(ada.id) == ada
    assert [key.name for key in store.list()].count("bob") == 2
    with pytest.raises(CallerError, match="2 keys are named"):
        store.get("bob")
    with pytest.raises(CallerError, match="no key"):
        store.get("eve")
    rotated, secret = store.rotate("ada")
    assert store.digest(secret.encode()) == rotated.digest != ada.digest
