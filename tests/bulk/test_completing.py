"""Many prompts from a program: in order, as they come, in a running loop and without one, charged like any other call."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tollkeeper
from kit.jobs import Folder, answers, echo
from kit.loops import in_a_loop
from kit.scripted import Connection, Request, ScriptedUpstream, chat_answer, json_answer
from tollkeeper.bulk.completing import CompletionFailed
from tollkeeper.core.errors import CallerError, UpstreamError
from tollkeeper.stores.sqlite.sole import sole

PROMPTS = [f"prompt {number}" for number in range(60)]


def _odd(request: Request, connection: Connection) -> bool:
    if "7" in request.json()["messages"][-1]["content"]:
        refusal = {"error": {"message": "no sevens", "type": "invalid_request_error", "code": "odd"}}
        return bool(json_answer(400, refusal)(request, connection))
    return echo(request, connection)


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(echo) as scripted:
        yield scripted


@pytest.fixture
def folder(upstream: ScriptedUpstream, tmp_path: Path) -> Folder:
    return Folder(tmp_path, upstream.url)


@pytest.fixture
def options(folder: Folder) -> dict[str, Any]:
    return {"model": "m", "home": folder.path / "home", "config": folder.path / "tollkeeper.toml"}


@in_a_loop
async def _many(options: dict[str, Any], found: list[Any], **more: Any) -> None:
    found += await tollkeeper.complete_many(PROMPTS, **options, **more)


def test_answers_come_in_order_and_every_call_is_in_the_ledger(folder: Folder, options: dict[str, Any]) -> None:
    found: list[Any] = []
    seen: list[tuple[int, int, int | None]] = []
    _many(options, found, progress=lambda *now: seen.append(now))
    assert found == answers(60)
    assert seen[-1] == (60, 0, 60)
    assert folder.command("usage", "--by", "key")[0]["requests"] == 60


def test_several_at_one_time_share_their_home_and_the_last_one_closes_it(
    folder: Folder, options: dict[str, Any]
) -> None:
    async def several() -> list[list[Any]]:
        found = await asyncio.gather(*(tollkeeper.complete_many(PROMPTS[:each], **options) for each in (5, 60, 20)))
        async for _ in tollkeeper.completions(
            PROMPTS[:3], **options
        ):  # while the one before closes, and around another
            found.append(await tollkeeper.complete_many(PROMPTS[:2], **options))
        return found

    assert asyncio.run(several()) == [answers(5), answers(60), answers(20), *[answers(2)] * 3]
    assert folder.command("usage", "--by", "key")[0]["requests"] == 5 + 60 + 20 + 3 + 3 * 2
    with sole(options["home"]):
        pass


def test_one_that_cannot_begin_leaves_the_other_its_home(tmp_path: Path, options: dict[str, Any]) -> None:
    other = tmp_path / "other.toml"
    other.write_text("")

    async def both() -> list[Any]:
        wrong = ({"key": "nobody"}, {"config": other})
        return await asyncio.gather(
            tollkeeper.complete_many(PROMPTS, **options),
            *(tollkeeper.complete_many(PROMPTS, **{**options, **each}) for each in wrong),
            return_exceptions=True,
        )

    found, no_key, other_config = asyncio.run(both())
    assert found == answers(60)
    assert (no_key.code, other_config.param) == ("key_not_found", "config")


def test_what_failed_for_good_is_none_or_an_object_or_raised(
    upstream: ScriptedUpstream, options: dict[str, Any]
) -> None:
    upstream.script = _odd
    found: list[Any] = []
    _many(options, found)
    assert [index for index, text in enumerate(found) if text is None] == [7, 17, 27, 37, 47, 57]
    found = []
    _many(options, found, on_error="object")
    assert found[17].error.message == "no sevens"
    assert found[18] == "re: prompt 18"
    with pytest.raises(CompletionFailed, match="no sevens") as failed:
        _many(options, [], on_error="raise")
    assert failed.value.completed.index % 10 == 7


def test_it_works_without_a_loop_and_beside_a_running_one(options: dict[str, Any]) -> None:
    assert tollkeeper.run_many(PROMPTS, **options) == answers(60)

    async def cell() -> list[Any]:
        return tollkeeper.run_many(PROMPTS[:3], **options)

    assert asyncio.run(cell()) == answers(3)


def test_answers_are_given_as_they_come_and_nobody_runs_far_ahead(
    upstream: ScriptedUpstream, options: dict[str, Any]
) -> None:
    async def look() -> tuple[list[int], int]:
        found = []
        given = tollkeeper.completions((f"prompt {n}" for n in range(10_000)), **options, concurrency=4)
        async for completed in given:
            found.append(completed.index)
            assert completed.output == f"re: prompt {completed.index}"
            if len(found) == 20:
                await asyncio.sleep(0.3)
                asked = len(upstream.requests)
                await given.aclose()  # type: ignore[attr-defined]
                return found, asked
        raise AssertionError("it ended too soon")

    found, asked = asyncio.run(look())
    assert len(set(found)) == 20
    assert asked <= 20 + 40 + 2 * 4  # ten times the concurrency, and calls under way


def test_prompts_may_be_messages_or_objects_and_a_gate_may_answer(
    upstream: ScriptedUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOLLKEEPER_KEY", "tk-x")
    upstream.script = lambda request, connection: json_answer(200, chat_answer(json.dumps(request.json())))(
        request, connection
    )
    prompts: list[Any] = ["one", [{"role": "user", "content": "two"}], {"prompt": "three", "temperature": 1}, 4]
    found = tollkeeper.run_many(prompts, model="x", gate=upstream.url, parameters={"seed": 5}, on_error="object")
    sent = [json.loads(each) for each in found[:3]]
    assert [each["messages"][0]["content"] for each in sent] == ["one", "two", "three"]
    assert [each.get("temperature") for each in sent] == [None, None, 1]
    assert {each["seed"] for each in sent} == {5}
    assert "prompt 3 is neither" in found[3].error.message


def test_where_nothing_can_be_asked_it_is_raised(upstream: ScriptedUpstream, options: dict[str, Any]) -> None:
    refused = json_answer(401, {"error": {"message": "no", "code": "invalid_api_key"}})
    upstream.script = lambda request, connection: refused(request, connection)
    with pytest.raises(UpstreamError, match="Stopped: upstream_auth_failed"):
        tollkeeper.run_many(PROMPTS, **options)
    assert len(upstream.requests) <= 60


@pytest.mark.parametrize(
    "option",
    [{"concurrency": 0}, {"attempts": 0}, {"timeout": 0}, {"rpm": -1}, {"gate": "127.0.0.1:9080"}, {"wait": 1}],
)
def test_options_that_cannot_be_meant_are_refused(
    options: dict[str, Any], option: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOLLKEEPER_KEY", "tk-any")
    with pytest.raises(CallerError, match=next(iter(option))):
        tollkeeper.run_many(["one"], **{**options, **option})


def test_one_text_in_place_of_several_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(CallerError, match="The prompts must be several"):
        tollkeeper.run_many("one", **options)
