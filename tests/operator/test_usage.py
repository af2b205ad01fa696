"""Usage and events over REST: sums that are exact, by every group and span of time, and pages that lose nothing."""

import json
import time
from collections.abc import Iterator
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import pytest

from kit.gate import GateProcess, running_gate
from kit.records import event, request_id, write
from kit.scripted import ScriptedUpstream, chat_answer, json_answer
from tollkeeper.core.usage import Usage

DAY = 86_400_000
FIRST = 1_767_225_600_000
"""2026-01-01T00:00:00Z."""
CONFIG = """
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-x"
[models.cheap]
targets = ["up/cheap"]
price = {{ input = 0.001, output = 0.003004 }}
[models.dear]
targets = ["up/dear"]
price = {{ input = 10, output = 30, cached_input = 1.25 }}
[models.unknown]
targets = ["up/unknown"]
"""
TWICE = request_id(FIRST + 2 * DAY)
PAST = [
    event(started_at=FIRST, key_id="key_old", owner="ann", team="red", cost_nano=1),
    event(started_at=FIRST + DAY - 1, key_id="key_old", owner="ann", team="red", cost_nano=10**17 + 1),
    event(started_at=FIRST + DAY, key_id="key_old", owner="bob", team=None, cost_nano=None, quality="unpriced"),
    event(
        request_id=TWICE,
        started_at=FIRST + 2 * DAY,
        key_id="key_new",
        owner="bob",
        provider="down",
        outcome="upstream_error",
        usage=Usage(),
        cost_nano=0,
    ),
    event(request_id=TWICE, attempt=2, started_at=FIRST + 2 * DAY + 5, key_id="key_new", owner="bob", cost_nano=500),
    # Its body took two hours to arrive: the id is older than the attempt.
    event(request_id=request_id(FIRST + 3 * DAY - 7_200_000), started_at=FIRST + 3 * DAY, key_id="key_new"),
]
USAGE = Usage(input_tokens=1000, cached_input_tokens=400, output_tokens=70, reasoning_tokens=20)


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    answer = chat_answer(prompt_tokens=1000, completion_tokens=70)
    answer["usage"]["prompt_tokens_details"] = {"cached_tokens": 400}
    answer["usage"]["completion_tokens_details"] = {"reasoning_tokens": 20}
    with ScriptedUpstream(json_answer(200, answer)) as scripted:
        yield scripted


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    """A gate whose ledger has three days of January, and seven calls of now."""
    folder = tmp_path_factory.mktemp("gate")
    write(folder / "home", PAST)
    with running_gate(folder, CONFIG.format(url=upstream.url)) as running:
        for name, owner, models in [
            ("one", "ann", ["cheap"] * 3),
            ("two", "cid", ["dear", "dear", "cheap", "unknown"]),
        ]:
            key = running.new_key(name=name, owner=owner, team="blue")
            for model in models:
                assert running.call("POST", "/v1/chat/completions", key, {"model": model, "messages": []})[0] == 200
        assert len(running.events_once(len(PAST) + 7)) == len(PAST) + 7
        yield running


def _usage(gate: GateProcess, query: str) -> dict[str | None, dict[str, Any]]:
    """Rows by their group."""
    status, _, body = gate.operator("GET", f"/api/usage?{query}")
    assert status == 200, body
    answer = json.loads(body)
    rows = {row[answer["by"]]: row for row in answer["data"]}
    assert len(rows) == len(answer["data"])
    return rows


# USD of a call of 1000 in, of which 400 cached, and 70 out; each is rounded to the nano-dollar by itself.
CHEAP = Decimal("0.000001") + Decimal("0.00000021")  # 0.00000021028, rounded
DEAR = Decimal("0.006") + Decimal("0.0005") + Decimal("0.0021")


def test_by_key_which_is_the_default(gate: GateProcess) -> None:
    rows = {row["name"]: row for row in _usage(gate, "since=2026-02-01").values()}

    assert rows == {row["name"]: row for row in _usage(gate, "by=key&since=2026-02-01").values()}
    key_id = rows["one"].pop("key")
    assert key_id.startswith("key_")
    assert rows["one"] == {
        "name": "one",
        "requests": 3,
        "attempts": 3,
        "input_tokens": 3000,
        "cached_input_tokens": 1200,
        "cache_write_tokens": 0,
        "cache_write_1h_tokens": 0,
        "output_tokens": 210,
        "reasoning_tokens": 60,
        "web_searches": 0,
        "cost_usd": str(3 * CHEAP),
        "unpriced": 0,
        "cached_requests": 0,
        "saved_usd": "0",
    }
    assert (rows["two"]["requests"], rows["two"]["unpriced"]) == (4, 1)
    assert rows["two"]["cost_usd"] == str(2 * DEAR + CHEAP)


def test_by_owner_team_model_and_provider(gate: GateProcess) -> None:
    def counts(by: str) -> dict[str | None, tuple[int, int]]:
        return {group: (row["requests"], row["attempts"]) for group, row in _usage(gate, f"by={by}").items()}

    assert counts("owner") == {"ann": (5, 5), "bob": (2, 3), "cid": (4, 4), None: (1, 1)}
    assert counts("team") == {"red": (2, 2), "blue": (7, 7), None: (3, 4)}
    assert counts("model") == {"alias": (5, 6), "cheap": (4, 4), "dear": (2, 2), "unknown": (1, 1)}
    assert counts("provider") == {"up": (12, 12), "down": (1, 1)}


def test_by_day_in_utc_with_cost_exact_to_the_nano_dollar(gate: GateProcess) -> None:
    rows = _usage(gate, "by=day")
    today = time.strftime("%Y-%m-%d", time.gmtime())

    assert {day: row["cost_usd"] for day, row in rows.items() if day != today} == {
        "2026-01-01": "100000000.000000002",
        "2026-01-02": "0",
        "2026-01-03": "0.0000005",
        "2026-01-04": "0.00000315",
    }
    assert rows["2026-01-02"]["unpriced"] == 1
    assert sum(row["requests"] for row in rows.values()) == 12


@pytest.mark.parametrize(
    ("span", "requests"),
    [
        ("since=2026-01-01&until=2026-01-02", 2),
        ("since=2026-01-01T00:00:00.001Z&until=2026-01-02", 1),
        ("since=2026-01-02&until=2026-01-03", 1),
        ("until=2026-01-01", 0),
        (f"since={FIRST + DAY - 1}&until={FIRST + DAY}", 1),
        (f"since={FIRST + DAY - 1}&until={FIRST + DAY + 1}", 2),
        ("since=2026-01-02T01:00:00%2B01:00&until=2026-01-03T00:00:00-00:00", 1),
        ("since=2026-01-03&until=2026-01-05", 2),
        ("since=2026-01-04&until=2026-01-05", 1),
        ("since=&until=2026-01-02", 2),
        ("since=2026-01-03&until=2026-01-03", 0),
        ("since=9999-12-31T23:59:59-23:59", 0),
        ("since=0001-01-01T00:00:00%2B23:59&until=2026-01-02", 2),
    ],
)
def test_since_is_included_and_until_is_not(gate: GateProcess, span: str, requests: int) -> None:
    assert sum(row["requests"] for row in _usage(gate, f"by=day&{span}").values()) == requests
    assert (
        len({found["request_id"] for found in gate.events(**dict(p.split("=") for p in span.split("&")))}) == requests
    )


@pytest.mark.parametrize("path", ["/api/usage", "/api/events"])
@pytest.mark.parametrize("field", ["since", "until"])
@pytest.mark.parametrize(
    "value", ["yesterday", "2026-13-01", "2026-01-01T25:00", "-5", "1", "1e12", "²²²²²²²²²", "9" * 18, "9" * 400, "NaN"]
)
def test_a_time_that_is_none_is_named(gate: GateProcess, path: str, field: str, value: str) -> None:
    status, _, body = gate.operator("GET", f"{path}?{field}={quote(value)}")

    error = json.loads(body)["error"]
    assert (status, error["code"], error["param"]) == (400, "invalid_value", field)


@pytest.mark.parametrize("path", ["/api/usage", "/api/events"])
def test_an_end_before_its_beginning_is_refused(gate: GateProcess, path: str) -> None:
    status, _, body = gate.operator("GET", f"{path}?since=2026-01-03&until=2026-01-02")

    error = json.loads(body)["error"]
    assert (status, error["param"], error["message"]) == (400, "until", "until must not be before since.")


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("/api/usage?by=colour", "by"),
        ("/api/usage?by=", "by"),
        ("/api/usage?by=key_id%3B--", "by"),
        ("/api/events?limit=0", "limit"),
        ("/api/events?limit=1001", "limit"),
        ("/api/events?limit=-1", "limit"),
        ("/api/events?limit=%C2%B2", "limit"),
        ("/api/events?limit=", "limit"),
        ("/api/events?before=x:y", "before"),
        ("/api/events?before=zzz", "before"),
        ("/api/events?before=", "before"),
    ],
)
def test_a_value_that_is_none_is_named(gate: GateProcess, query: str, param: str) -> None:
    status, _, body = gate.operator("GET", query)

    error = json.loads(body)["error"]
    assert (status, error["code"], error["param"]) == (400, "invalid_value", param)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/usage?by=key&sinse=2026-01-01", "expected one of: by, since, until."),
        ("/api/events?limt=5", "expected one of: key, since, until, request_id, before, limit."),
        ("/api/keys?owner=ann", "there are none here."),
    ],
)
def test_a_query_that_there_is_not_is_refused_with_those_that_there_are(
    gate: GateProcess, path: str, expected: str
) -> None:
    status, _, body = gate.operator("GET", path)

    error = json.loads(body)["error"]
    assert (status, error["code"]) == (400, "unknown_parameter")
    assert error["param"] in path
    assert error["message"].endswith(expected)


@pytest.mark.parametrize("limit", [1, 2, 5, 12, 13, 1000])
def test_pages_together_are_all_events_once_and_in_order(gate: GateProcess, limit: int) -> None:
    found: list[tuple[str, int]] = []
    query = f"limit={limit}"
    while True:
        page = json.loads(gate.operator("GET", f"/api/events?{query}")[2])
        found += [(one["request_id"], one["attempt"]) for one in page["data"]]
        if page["next"] is None:
            break
        assert len(page["data"]) == limit
        query = f"limit={limit}&before={page['next']}"

    assert len(found) == len(PAST) + 7
    assert found == sorted(found, reverse=True)
    assert len(set(found)) == len(found)


def test_events_are_filtered_by_key_and_by_request(gate: GateProcess) -> None:
    assert len(gate.events(key="key_old")) == 3
    assert [found["attempt"] for found in gate.events(request_id=TWICE)] == [2, 1]
    assert gate.events(key="key_old", request_id=TWICE) == []
    assert len(gate.events(key="two")) == 4
    status, _, body = gate.operator("GET", "/api/events?key=nobody")
    assert (status, json.loads(body)["error"]["message"]) == (404, "There is no key 'nobody'.")


def test_an_event_tells_all_about_its_attempt(gate: GateProcess) -> None:
    found = next(one for one in gate.events() if one["model_asked"] == "dear")

    raw = json.loads(found.pop("usage_raw"))
    assert raw["prompt_tokens_details"] == {"cached_tokens": 400}
    assert found["key_id"].startswith("key_")
    assert 0 < found["first_byte_ms"] <= found["duration_ms"]
    assert found["overhead_ms"] > 0
    told = {name: value for name, value in found.items() if not name.endswith(("_id", "_ms", "_at"))}
    assert told == {
        "attempt": 1,
        "owner": "cid",
        "team": "blue",
        "operation": "chat",
        "dialect": "openai_chat",
        "model_asked": "dear",
        "provider": "up",
        "model": "dear",
        "model_used": "gpt-4o-mini-2024-07-18",
        "streamed": False,
        "outcome": "ok",
        "status": 200,
        "error_code": None,
        "quality": "reported",
        "price_version": "config",
        "input_tokens": 1000,
        "cached_input_tokens": 400,
        "cache_write_tokens": 0,
        "audio_input_tokens": 0,
        "cached_audio_input_tokens": 0,
        "output_tokens": 70,
        "reasoning_tokens": 20,
        "audio_output_tokens": 0,
        "cache_write_1h_tokens": 0,
        "web_searches": 0,
        "cost_usd": str(DEAR),
        "held_usd": None,
        "saved_usd": "0",
        "trace": [["price", 10_000_000_000, 30_000_000_000, 1_250_000_000]],
    }
