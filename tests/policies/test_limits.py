"""Limits through the door: what is admitted and refused, what callers are told, what is given back and when."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kit.gate import GateProcess, running_gate
from kit.limited import ASK, CONFIG, ask, code, metric, remaining
from kit.scripted import ScriptedUpstream, chat_answer, chat_events, event_stream, json_answer, usage_of
from kit.waiting import until


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    with running_gate(tmp_path_factory.mktemp("gate"), CONFIG.format(url=upstream.url)) as running:
        yield running


@pytest.fixture(autouse=True)
def _answers_as_usual(upstream: ScriptedUpstream) -> None:
    upstream.script = json_answer(200, chat_answer())


# --- what is admitted -----------------------------------------------------------------------------------------------


def test_the_burst_is_admitted_and_one_more_is_not(gate: GateProcess) -> None:
    key = gate.new_key(limits=["60 requests/hour burst 3"])

    answers = [ask(gate, key) for _ in range(4)]

    assert [status for status, _, _ in answers] == [200, 200, 200, 429]
    assert [remaining(answer, "requests") for answer in answers] == [2, 1, 0, 0]
    assert code(answers[3]) == "rate_limit_exceeded"


def test_a_refused_call_that_waits_as_told_is_admitted(gate: GateProcess) -> None:
    key = gate.new_key(limits=["30 requests/minute burst 1"])
    for _ in range(2):
        assert ask(gate, key)[0] == 200
        refused = ask(gate, key)
        at = time.monotonic()
        assert refused[0] == 429
        assert refused[1]["retry-after"] in ("1", "2")
        ms = int(refused[1]["retry-after-ms"])
        assert 0 < ms <= 2000
        time.sleep(max(0.0, at + ms / 1000 - time.monotonic()))


@pytest.mark.parametrize(
    ("first", "second", "passing"),
    [
        ({"team": "pair"}, {"team": "pair"}, 2),
        ({"owner": "ada"}, {"owner": "ada"}, 1),
    ],
)
def test_a_group_shares_its_limit(gate: GateProcess, first: Any, second: Any, passing: int) -> None:
    keys = [gate.new_key(**first), gate.new_key(**second), gate.new_key()]

    statuses = [ask(gate, keys[number % 2])[0] for number in range(4)]

    assert statuses == [200] * passing + [429] * (4 - passing)
    assert ask(gate, keys[2])[0] == 200


def test_a_model_is_limited_by_the_name_that_is_asked_for(gate: GateProcess) -> None:
    keys = [gate.new_key(), gate.new_key()]

    assert [ask(gate, key, "limited")[0] for key in keys] == [200, 429]
    assert [ask(gate, key, "m")[0] for key in keys] == [200, 200]


def test_a_key_without_limits_sees_the_providers_headers_and_a_limited_one_ours(
    gate: GateProcess, upstream: ScriptedUpstream
) -> None:
    upstream.script = json_answer(
        200, chat_answer(), "x-ratelimit-limit-requests: 9999", "x-ratelimit-remaining-tokens: 7"
    )
    free, limited = gate.new_key(), gate.new_key(limits=["60 requests/minute"])

    theirs, ours = ask(gate, free)[1], ask(gate, limited)[1]

    assert (theirs["x-ratelimit-limit-requests"], theirs["x-ratelimit-remaining-tokens"]) == ("9999", "7")
    assert {name: value for name, value in ours.items() if "ratelimit" in name} == {
        "x-ratelimit-limit-requests": "60",
        "x-ratelimit-remaining-requests": "9",
        "x-ratelimit-reset-requests": "1s",
    }


def test_nothing_is_taken_of_any_limit_where_one_refuses(gate: GateProcess) -> None:
    key = gate.new_key(limits=["100 requests/hour burst 9", "900 tokens/hour burst 900"])
    assert ask(gate, key, max_tokens=300)[0] == 200  # uses 12

    refused = ask(gate, key, max_tokens=870)

    assert (refused[0], code(refused)) == (429, "rate_limit_exceeded")
    assert "900 tokens/hour" in json.loads(refused[2])["error"]["message"]
    assert remaining(refused, "requests") == 8
    assert remaining(ask(gate, key, max_tokens=1), "requests") == 7


def test_every_answer_tells_of_limits_also_a_failed_one(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    key = gate.new_key(limits=["100 requests/hour burst 50", "90000 tokens/hour burst 9000"])
    upstream.script = json_answer(500, {"error": {"message": "no"}}, "x-ratelimit-remaining-requests: 4444")
    failed = ask(gate, key)
    upstream.script = json_answer(200, chat_answer())
    lost = ask(gate, key, "lost")
    unknown = ask(gate, key, "nobody-has-this/m")

    assert [failed[0], lost[0], unknown[0]] == [500, 502, 404]
    assert [remaining(answer, "requests") for answer in (failed, lost, unknown)] == [49, 48, 47]
    # An attempt counts as a request, whatever came of it; a call that was not tried does not. Tokens are given back.
    following = ask(gate, key, max_tokens=10)
    assert remaining(following, "requests") == 47
    assert 9000 - 10 - 40 < remaining(following, "tokens") < 9000


# --- tokens ---------------------------------------------------------------------------------------------------------


def test_tokens_are_settled_to_what_was_used(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    key = gate.new_key(limits=["100000 tokens/day burst 100000"])
    estimated = ask(gate, key, max_tokens=50_000)
    assert 49_900 < remaining(estimated, "tokens") < 50_000

    upstream.script = json_answer(200, chat_answer("x", 20_000, 30_000))
    settled = ask(gate, key, max_tokens=10)
    assert 99_900 < remaining(settled, "tokens") <= 100_000 - 12 - 10

    beyond = ask(gate, key, max_tokens=10)
    assert 49_900 < remaining(beyond, "tokens") < 50_000 - 10
    upstream.script = json_answer(200, chat_answer("x", 0, 200_000))
    assert ask(gate, key, max_tokens=10)[0] == 429  # 50 000 more than the whole allowance are owed by the call before


def test_a_streams_tokens_are_settled_when_it_ends(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    key = gate.new_key(limits=["100000 tokens/day burst 100000"])
    upstream.script = event_stream(b"".join(chat_events(["a", "b"], usage_of(1000, 2000))))
    assert ask(gate, key, stream=True, max_tokens=50_000)[0] == 200
    gate.events_once(1)

    def settled() -> bool:
        return 97_000 - 100 < remaining(ask(gate, key, "lost", max_tokens=10), "tokens") <= 97_000 - 10

    until(settled)


def test_input_and_output_have_limits_of_their_own(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    upstream.script = json_answer(200, chat_answer("x", 500, 3))
    key = gate.new_key(limits=["1000 input_tokens/day burst 1000", "60 output_tokens/day burst 50"])
    assert ask(gate, key, max_tokens=40)[0] == 200
    told = ask(gate, key, max_tokens=40)
    assert (told[0], told[1]["x-ratelimit-limit-tokens"], remaining(told, "tokens")) == (200, "60", 7)

    refused = ask(gate, key, max_tokens=1)

    assert refused[0] == 429
    assert "1000 input_tokens/day" in json.loads(refused[2])["error"]["message"]


def test_a_call_that_can_never_fit_is_refused_for_good(gate: GateProcess) -> None:
    key = gate.new_key(limits=["1000 tokens/minute"])

    refused = ask(gate, key, max_tokens=1000)

    assert (refused[0], code(refused), refused[1]["x-should-retry"]) == (429, "rate_limit_too_small", "false")
    assert "retry-after" not in refused[1]
    assert remaining(refused, "tokens") == 166
    assert ask(gate, key, max_tokens=900)[0] == 200  # above the burst, but nothing is owed


def test_a_key_whose_answers_are_long_is_taken_for_long_ones(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    key = gate.new_key(limits=["1000000 tokens/second burst 1000000"])
    first = remaining(ask(gate, key), "tokens")
    assert 1_000_000 - first == pytest.approx(256 + 15, abs=15)
    upstream.script = json_answer(200, chat_answer("x", 10, 4000))
    for _ in range(30):
        ask(gate, key)
    time.sleep(0.01)  # ten thousand tokens come back

    assert 1_000_000 - remaining(ask(gate, key), "tokens") > 3500


def test_what_makes_nothing_counts_as_a_request_and_takes_no_tokens(gate: GateProcess) -> None:
    key = gate.new_key(limits=["90 requests/day burst 9", "1000 tokens/day burst 1000"])

    listed = gate.call("GET", "/v1/files", key)

    assert listed[0] == 200
    assert (remaining(listed, "requests"), remaining(listed, "tokens")) == (8, 1000)


def test_an_answer_from_the_cache_is_a_request_and_no_tokens(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    upstream.script = json_answer(200, chat_answer("x", 2000, 3000))
    key = gate.new_key(limits=["90 requests/day burst 9", "100000 tokens/day burst 100000"])
    for _ in range(3):
        assert ask(gate, key, "kept", max_tokens=10)[0] == 200

    told = ask(gate, key, "kept", max_tokens=10)

    assert remaining(told, "requests") == 5
    assert 95_000 - 100 < remaining(told, "tokens") <= 95_000 - 10


def test_a_call_that_a_budget_refuses_takes_nothing(gate: GateProcess, upstream: ScriptedUpstream) -> None:
    key = gate.new_key(limits=["90 requests/day burst 9", "100000 tokens/day burst 100000"], budgets=["20 tokens/day"])
    sent = len(upstream.requests)
    for _ in range(3):
        refused = ask(gate, key, max_tokens=5000)
        assert (refused[0], code(refused)) == (429, "budget_exceeded")
        assert remaining(refused, "requests") == 8
        assert 94_900 < remaining(refused, "tokens") <= 95_000
        assert refused[1]["x-should-retry"] == "false"

    assert len(upstream.requests) == sent


def test_a_dry_run_says_what_would_happen_and_takes_nothing(gate: GateProcess) -> None:
    key = gate.new_key(limits=["90 requests/day burst 2"])
    for _ in range(5):
        status, _, body = gate.call("POST", "/v1/chat/completions", key, ASK, x_tollkeeper_dry_run="1")
        assert status == 200
        assert b"requests:86400" in body
    assert [ask(gate, key)[0] for _ in range(3)] == [200, 200, 429]

    told = json.loads(gate.call("POST", "/v1/chat/completions", key, ASK, x_tollkeeper_dry_run="1")[2])

    assert "rate_limit_exceeded" in json.dumps(told)


# --- changes --------------------------------------------------------------------------------------------------------


def test_a_changed_amount_counts_on(gate: GateProcess) -> None:
    key = gate.new_key(name="changing", limits=["100 requests/day burst 10"])
    for _ in range(6):
        assert ask(gate, key)[0] == 200

    gate.operator("PATCH", "/api/keys/changing", {"limits": ["100 requests/day burst 20"]})
    assert remaining(ask(gate, key), "requests") == 13

    gate.operator("PATCH", "/api/keys/changing", {"limits": ["100 requests/day burst 3"]})
    assert ask(gate, key)[0] == 429

    gate.operator("PATCH", "/api/keys/changing", {"limits": []})
    assert "x-ratelimit-limit-requests" not in ask(gate, key)[1]


def test_a_changed_config_counts_on_without_a_restart(upstream: ScriptedUpstream, tmp_path: Path) -> None:
    before, after = '[limits]\nall = ["100 requests/day burst 10"]\n', '[limits]\nall = ["100 requests/day burst 30"]\n'
    config = CONFIG.partition("[limits")[0].format(url=upstream.url)
    with running_gate(tmp_path, config + before) as gate:
        key = gate.new_key()
        for _ in range(6):
            assert ask(gate, key)[0] == 200

        gate.config.write_text(config + after, "utf-8")
        until(lambda: "config_loaded" in gate.log())

        assert remaining(ask(gate, key), "requests") == 23


def test_refusals_are_counted_by_scope_and_dimension(gate: GateProcess) -> None:
    key = gate.new_key(limits=["1 requests/hour", "60 tokens/hour"])
    label = 'tollkeeper_limit_refusals_total{{dimension="{}",scope="key"}}'
    ask(gate, key, max_tokens=1)
    ask(gate, key, max_tokens=1)
    ask(gate, key, max_tokens=100)
    before = metric(gate, label.format("requests")), metric(gate, label.format("tokens"))

    ask(gate, key, max_tokens=1)
    ask(gate, key, max_tokens=100)

    assert (metric(gate, label.format("requests")), metric(gate, label.format("tokens"))) == (
        before[0] + 1,
        before[1] + 1,
    )


def test_what_was_evaluated_is_kept_with_the_event(gate: GateProcess) -> None:
    key = gate.new_key(limits=["90 requests/day burst 9", "5 concurrent"])
    ask(gate, key)
    answer = ask(gate, key)

    trace = gate.event(answer[1]["x-request-id"])["trace"]
    told = {note[1].partition(":")[2].partition(":")[2]: note[2:] for note in trace if note[0] == "limit"}

    assert told == {"requests:86400": [90, 8, 1], "concurrency": [5, 5, 1]}
