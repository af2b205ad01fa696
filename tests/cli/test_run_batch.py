"""`tollkeeper run --batch`: a provider's batch API runs the rows, and whatever it does, each row ends once, paid once."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from kit.batching import (
    AnthropicBatchProvider,
    OpenAIBatchProvider,
    answered,
    never,
    result,
    said,
)
from kit.gate import GateProcess
from kit.jobs import Folder, answers, echo
from kit.scripted import ScriptedUpstream
from kit.vitals import becomes

JOB = ("in.jsonl", "-o", "out.jsonl", "--model", "m", "--batch-poll", "0.05", "--batch")
CONFIG = """
[providers.up]
kind = "openai"
base_url = "{url}/v1"
api_key = "sk-up"
batch = "{kind}"
[models.m]
targets = ["up/gpt-4o-mini"]
price = {{ input = 1, output = 2 }}
"""


def folder_of(path: Path, upstream: ScriptedUpstream, kind: str = "openai", more: str = "") -> Folder:
    folder = Folder(path, upstream.url)
    (path / "tollkeeper.toml").write_text(CONFIG.format(url=upstream.url.removesuffix("/v1"), kind=kind) + more)
    return folder


def events(folder: Folder) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = folder.command("events", "--limit", "1000")["data"]
    return found


@pytest.mark.parametrize("provider", [OpenAIBatchProvider(), AnthropicBatchProvider()], ids=["openai", "anthropic"])
def test_rows_go_in_batches_and_each_has_one_event_at_half_the_price(
    tmp_path: Path, provider: OpenAIBatchProvider | AnthropicBatchProvider
) -> None:
    with ScriptedUpstream(provider) as upstream:
        kind = "openai" if isinstance(provider, OpenAIBatchProvider) else "anthropic"
        folder = folder_of(tmp_path, upstream, kind)
        folder.prompts(25)
        code, out, err = folder.run(*JOB, kind, "--batch-rows", "10")
        assert code == 0, out + err
        assert [row["output"] for row in folder.rows()] == answers(25)
        assert len(provider.batches) == 3
        # 9 tokens in at 1 USD and 3 out at 2 USD a million make 15 micro-dollars; half of that in a batch
        assert {row["cost_usd"] for row in folder.rows()} == {"0.0000075"}
        usage = folder.command("usage", "--by", "key")[0]
        assert (usage["requests"], usage["cost_usd"]) == (25, "0.0001875")
        assert folder.command("verify")["open_holds"] == 0
        assert not list(tmp_path.glob("*.batch-*"))


@pytest.mark.row(91)
def test_what_an_expired_batch_brought_is_kept_and_only_the_rest_is_asked_again(tmp_path: Path) -> None:
    provider = OpenAIBatchProvider()

    def outcome(number: int, lines: list[Any]) -> tuple[str, list[Any], list[Any]]:
        if number == 1:
            return "expired", [answered(line) for line in lines[:4]], [never(line) for line in lines[4:]]
        return "completed", [answered(line) for line in lines], []

    provider.outcome = outcome
    with ScriptedUpstream(provider) as upstream:
        folder = folder_of(tmp_path, upstream)
        folder.prompts(10)
        code, _, err = folder.run(*JOB, "openai")
        assert code == 0, err
        assert [row["output"] for row in folder.rows()] == answers(10)
        assert [row["attempts"] for row in folder.rows()] == [1] * 4 + [2] * 6
        assert [len(provider.lines(batch)) for batch in provider.batches] == [10, 6]
        assert folder.command("usage", "--by", "key")[0]["requests"] == 10
        assert folder.command("verify")["open_holds"] == 0


@pytest.mark.row(91)
def test_a_cancelled_batch_a_lying_one_and_one_with_strangers_lines_end_every_row_once(tmp_path: Path) -> None:
    provider = OpenAIBatchProvider()

    def outcome(number: int, lines: list[Any]) -> tuple[str, list[Any], list[Any]]:
        if number == 1:
            return "cancelled", [answered(lines[0])], [never(line, "batch_cancelled") for line in lines[1:]]
        if number == 2:
            return "completed", [], []  # says that it is done, and has nothing
        known = [answered(line) for line in lines]
        strange = [{**known[0], "custom_id": name} for name in ("tk0000000000000000-0", "someone-else", "", "x-99999")]
        twice = result(lines[0], 200, {**known[0]["response"]["body"], "choices": []})
        return "completed", [*strange, *known[:3], known[0], twice, *known[3:]], []

    provider.outcome = outcome
    with ScriptedUpstream(provider) as upstream:
        folder = folder_of(tmp_path, upstream)
        folder.prompts(6)
        code, _, err = folder.run(*JOB, "openai")
        assert code == 0, err
        assert [row["output"] for row in folder.rows()] == answers(6)
        assert [len(provider.lines(batch)) for batch in provider.batches] == [6, 5, 5]
        assert folder.command("usage", "--by", "key")[0]["requests"] == 6


@pytest.mark.row(91)
def test_a_row_that_no_batch_brings_fails_after_its_attempts(tmp_path: Path) -> None:
    provider = OpenAIBatchProvider()
    provider.outcome = lambda number, lines: (
        "completed",
        [answered(line) for line in lines if "prompt 2" not in json.dumps(line)],
        [],
    )
    with ScriptedUpstream(provider) as upstream:
        folder = folder_of(tmp_path, upstream)
        folder.prompts(4)
        code, _, err = folder.run(*JOB, "openai", "--attempts", "3")
        assert code == 8, err
        failed = folder.rows()[2]
        assert (failed["error"]["code"], failed["attempts"]) == ("batch_result_missing", 3)
        assert len(provider.batches) == 3


def test_a_refused_row_fails_and_one_that_may_pass_is_asked_again(tmp_path: Path) -> None:
    provider = OpenAIBatchProvider()

    def outcome(number: int, lines: list[Any]) -> tuple[str, list[Any], list[Any]]:
        error = {"error": {"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"}}
        busy = {"error": {"message": "busy", "type": "server_error", "code": None}}
        if number == 1:
            failed = [result(lines[0], 400, error), result(lines[1], 500, busy)]
            return "completed", [answered(line) for line in lines[2:]], failed
        return "completed", [answered(line) for line in lines], []

    provider.outcome = outcome
    with ScriptedUpstream(provider) as upstream:
        folder = folder_of(tmp_path, upstream)
        folder.prompts(4)
        code, _, err = folder.run(*JOB, "openai")
        assert code == 8, err
        rows = folder.rows()
        assert rows[0]["error"]["code"] == "context_length_exceeded"
        assert [row["output"] for row in rows[1:]] == answers(4)[1:]
        assert [len(provider.lines(batch)) for batch in provider.batches] == [4, 1]


def test_a_batch_that_is_refused_for_one_line_runs_without_it(tmp_path: Path) -> None:
    provider = OpenAIBatchProvider()
    provider.failing = lambda number: (
        [{"code": "invalid_json_line", "message": "line 2 is bad", "line": 2}] if number == 1 else []
    )
    with ScriptedUpstream(provider) as upstream:
        folder = folder_of(tmp_path, upstream)
        folder.prompts(3)
        code, _, err = folder.run(*JOB, "openai")
        assert code == 8, err
        assert [row["error"] and row["error"]["message"] for row in folder.rows()] == [None, "line 2 is bad", None]


def test_a_refused_batch_stops_the_job_and_a_resume_goes_on(tmp_path: Path) -> None:
    provider = OpenAIBatchProvider()
    provider.failing = lambda number: [{"code": "billing_hard_limit_reached", "message": "no money"}]
    with ScriptedUpstream(provider) as upstream:
        folder = folder_of(tmp_path, upstream)
        folder.prompts(3)
        code, out, err = folder.run(*JOB, "openai")
        assert code == 5, err
        assert "no money" in out
        assert folder.command("verify")["open_holds"] == 0
        provider.failing = lambda number: []
        assert folder.run(*JOB, "openai", "--resume")[0] == 0
        assert [row["output"] for row in folder.rows()] == answers(3)


def test_a_wrong_key_stops_the_job_before_anything_is_begun(tmp_path: Path) -> None:
    provider = OpenAIBatchProvider()
    provider.refuse = lambda request: (401, {"error": {"message": "Incorrect key", "code": "invalid_api_key"}})
    with ScriptedUpstream(provider) as upstream:
        folder = folder_of(tmp_path, upstream)
        folder.prompts(3)
        code, out, _ = folder.run(*JOB, "openai")
        assert code == 5
        assert "Incorrect key" in out
        assert folder.command("verify")["open_holds"] == 0
        provider.refuse = lambda request: None
        assert folder.run(*JOB, "openai", "--resume")[0] == 0
        assert len(provider.batches) == 1


@pytest.mark.row(92)
@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_batch_whose_begin_was_cut_by_a_kill_is_found_again_and_not_begun_twice(tmp_path: Path, kind: str) -> None:
    provider: Any = OpenAIBatchProvider() if kind == "openai" else AnthropicBatchProvider()
    begun: list[bool] = []

    def killed(request: object, connection: object) -> bool:
        begun.append(True)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
        return False

    provider.before_answer = killed
    with ScriptedUpstream(provider) as upstream:
        folder = folder_of(tmp_path, upstream, kind)
        folder.prompts(5)
        process = folder.start(*JOB, kind)
        process.communicate(timeout=60)
        assert begun
        provider.before_answer = lambda request, connection: True
        code, _, err = folder.run(*JOB, kind, "--resume")
        assert code == 0, err
        assert len(provider.batches) == 1
        assert [row["output"] for row in folder.rows()] == answers(5)
        assert folder.command("usage", "--by", "key")[0]["requests"] == 5


@pytest.mark.row(92)
def test_a_begin_without_an_answer_is_looked_for_before_it_is_tried_again(tmp_path: Path) -> None:
    provider = OpenAIBatchProvider()
    provider.before_answer = lambda request, connection: len(provider.batches) > 1
    with ScriptedUpstream(provider) as upstream:
        folder = folder_of(tmp_path, upstream)
        folder.prompts(5)
        code, _, err = folder.run(*JOB, "openai")
        assert code == 0, err
        assert len(provider.batches) == 1


def test_a_job_that_is_killed_while_it_waits_takes_the_batch_up_again(tmp_path: Path) -> None:
    provider = OpenAIBatchProvider()
    provider.looks_needed = 10**9
    with ScriptedUpstream(provider) as upstream:
        folder = folder_of(tmp_path, upstream)
        folder.prompts(5)
        process = folder.start(*JOB, "openai", "--batch-rows", "2")
        becomes(lambda: len(provider.batches) == 3 and provider.looks > 6)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        code, _, err = folder.run(*JOB, "openai")
        assert code == 1
        assert "--resume" in err
        provider.looks_needed = 0
        folder.prompts(7)
        code, _, err = folder.run(*JOB, "openai", "--resume")
        assert code == 0, err
        assert [row["output"] for row in folder.rows()] == answers(7)
        assert sorted(provider.rows_asked) == sorted(f"prompt {number}" for number in range(7))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_what_a_batch_may_cost_stays_set_aside_when_the_job_is_killed_or_left(
    tmp_path: Path, number: signal.Signals
) -> None:
    provider = OpenAIBatchProvider()
    provider.looks_needed = 10**9
    with ScriptedUpstream(provider) as upstream:
        folder = folder_of(tmp_path, upstream)
        key = folder.command("keys", "create", "--name", "bulk", "--budget", "0.0018 USD")["key"]
        folder.prompts(10)
        job = (*JOB, "openai", "--set", "max_tokens=3")
        process = folder.start(*job)
        becomes(lambda: provider.looks > 2)
        process.send_signal(number)
        process.communicate(timeout=60)

        gate = GateProcess(tmp_path, (tmp_path / "tollkeeper.toml").read_text(), {})
        try:
            call = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}
            assert gate.about["recovered"] == 0
            status, _, body = gate.call("POST", "/v1/chat/completions", key, call)
            assert (status, json.loads(body)["error"]["code"]) == (429, "budget_held")
            held = float(folder.command("budgets")[0]["held"])
            assert 0.0015 < held < 0.0018
            assert folder.command("verify")
        finally:
            gate.stop()

        provider.looks_needed = 0
        code, out, err = folder.run(*job, "--resume")
        assert code == 0, out + err
        [budget] = folder.command("budgets")
        assert (budget["spent"], budget["held"]) == ("0.000075", "0")
        assert folder.command("verify")


def test_an_interrupt_leaves_batches_to_a_resume(tmp_path: Path) -> None:
    provider = OpenAIBatchProvider()
    provider.looks_needed = 10**9
    with ScriptedUpstream(provider) as upstream:
        folder = folder_of(tmp_path, upstream)
        folder.prompts(5)
        process = folder.start(*JOB, "openai")
        becomes(lambda: provider.looks > 2)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 130
        provider.looks_needed = 0
        assert folder.run(*JOB, "openai", "--resume")[0] == 0
        assert len(provider.batches) == 1


def test_a_job_may_not_go_on_by_batch_that_was_begun_without(tmp_path: Path) -> None:
    provider = OpenAIBatchProvider()
    provider.looks_needed = 10**9
    with ScriptedUpstream(provider) as upstream:
        folder = folder_of(tmp_path, upstream)
        folder.prompts(5)
        process = folder.start(*JOB, "openai")
        becomes(lambda: provider.looks > 2)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        code, _, err = folder.run("in.jsonl", "-o", "out.jsonl", "--model", "m", "--resume")
        assert code == 1
        assert "batch" in err


def test_max_cost_holds_for_batches_at_their_price(tmp_path: Path) -> None:
    provider = OpenAIBatchProvider()
    with ScriptedUpstream(provider) as upstream:
        folder = folder_of(tmp_path, upstream)
        folder.prompts(50)
        job = (*JOB, "openai", "--set", "max_tokens=3")
        code, out, err = folder.run(*job, "--batch-rows", "5", "--max-cost", "0.0004")
        assert code == 6, out + err
        spent = folder.command("usage", "--by", "key")[0]
        assert 0 < float(spent["cost_usd"]) <= 0.0004
        code, _, err = folder.run(*job, "--max-cost", "1", "--resume")
        assert code == 0, err
        assert [row["output"] for row in folder.rows()] == answers(50)
        assert len(provider.rows_asked) == 50


def test_what_an_expired_batch_left_does_not_keep_the_budget_from_the_rows_that_follow(tmp_path: Path) -> None:
    provider = OpenAIBatchProvider()

    def outcome(number: int, lines: list[Any]) -> tuple[str, list[Any], list[Any]]:
        if number == 1:
            return "expired", [], [never(line) for line in lines]
        return "completed", [answered(line) for line in lines], []

    provider.outcome = outcome
    with ScriptedUpstream(provider) as upstream:
        folder = folder_of(tmp_path, upstream)
        folder.prompts(20)
        # 0.0004 USD has room for what some of the rows may cost at once, and for what all of them really cost.
        code, out, err = folder.run(*JOB, "openai", "--set", "max_tokens=3", "--max-cost", "0.0004")
        assert code == 0, out + err
        assert [row["output"] for row in folder.rows()] == answers(20)
        assert len(provider.lines(next(iter(provider.batches)))) < 20


def test_where_a_budget_has_no_room_for_what_is_at_the_provider_nothing_is_added_before_that_has_ended(
    tmp_path: Path,
) -> None:
    provider = OpenAIBatchProvider()
    provider.looks_needed = 10**9
    with ScriptedUpstream(provider) as upstream:
        folder = folder_of(tmp_path, upstream)
        folder.prompts(10)
        job = (*JOB, "openai", "--set", "max_tokens=3", "--batch-rows", "5")
        process = folder.start(*job, "--max-cost", "1")
        becomes(lambda: len(provider.batches) == 2 and provider.looks > 4)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        provider.looks_needed = provider.looks + 10
        folder.prompts(15)
        code, out, err = folder.run(*job, "--max-cost", "0.00001", "--resume")
        assert code == 6, out + err
        assert [row["output"] for row in folder.rows()[:10]] == answers(10)
        assert len(provider.rows_asked) == 10
        code, out, err = folder.run(*job, "--max-cost", "1", "--resume")
        assert code == 0, out + err
        assert [row["output"] for row in folder.rows()] == answers(15)


def test_a_dry_run_tells_the_price_of_batches_and_no_time(tmp_path: Path) -> None:
    with ScriptedUpstream(echo) as upstream:
        folder = folder_of(tmp_path, upstream)
        folder.prompts(1000)
        code, out, err = folder.run(*JOB, "openai", "--dry-run", "--json", "--sample", "5", "--rpm", "600")
        assert code == 0, err
        told = json.loads(out)
        assert (told["answered"], told["cost_usd"], told["seconds"]) == (5, ["0.0075", "0.0075"], None)
        code, out, err = folder.run(*JOB, "openai", "--dry-run", "--set", "max_tokens=3")
        assert code == 0, err
        assert "a day at most" in out


def test_tools_whose_names_anthropic_would_not_take_keep_them_in_the_answer(tmp_path: Path) -> None:
    provider = AnthropicBatchProvider()

    def outcome(number: int, lines: list[Any]) -> list[Any]:
        found = [said(line) for line in lines]
        for line, each in zip(lines, found, strict=True):
            use = {"type": "tool_use", "id": "toolu_1", "name": line["params"]["tools"][0]["name"], "input": {}}
            each["result"]["message"] |= {"content": [use], "stop_reason": "tool_use"}
        return found

    provider.outcome = outcome
    with ScriptedUpstream(provider) as upstream:
        folder = folder_of(tmp_path, upstream, "anthropic")
        names = ["weather.look up", "plain", "weather.look-up"]
        with (tmp_path / "in.jsonl").open("w") as stream:
            for name in names:
                tool = {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
                stream.write(json.dumps({"prompt": "Is it fine?", "tools": [tool]}) + "\n")
        code, out, err = folder.run(*JOB, "anthropic")
        assert code == 0, out + err
        assert [row["output"]["tool_calls"][0]["function"]["name"] for row in folder.rows()] == names
        asked = [line["params"]["tools"][0]["name"] for line in provider.requests[0]]
        assert asked[1] == "plain"
        assert asked[0].startswith("weather_look_up_")


def test_a_model_whose_provider_has_no_such_api_is_refused_before_the_job_begins(tmp_path: Path) -> None:
    with ScriptedUpstream(OpenAIBatchProvider()) as upstream:
        folder = folder_of(tmp_path, upstream)
        folder.prompts(2)
        code, _, err = folder.run(*JOB, "anthropic")
        assert code == 1
        assert "up/gpt-4o-mini has no batch API of the kind anthropic: say --batch openai." in err
        assert folder.run(*JOB, "openai")[0] == 0


def test_a_row_whose_own_model_has_no_such_api_stops_the_job(tmp_path: Path) -> None:
    with ScriptedUpstream(OpenAIBatchProvider()) as upstream:
        folder = folder_of(tmp_path, upstream, "none")
        folder.prompts(2)
        code, out, _ = folder.run("in.jsonl", "-o", "out.jsonl", "--batch", "openai", "--set", 'model="m"')
        assert code == 5
        assert "batch_unsupported" in out


def test_what_anthropic_did_not_run_or_could_not_is_asked_again(tmp_path: Path) -> None:
    provider = AnthropicBatchProvider()

    def outcome(number: int, lines: list[Any]) -> list[Any]:
        if number > 1:
            return [said(line) for line in lines]
        kinds: list[Any] = [{"type": "expired"}, {"type": "canceled"}]
        for kind in ("overloaded_error", "invalid_request_error"):
            kinds.append({"type": "errored", "error": {"type": "error", "error": {"type": kind, "message": "no"}}})
        return [{"custom_id": line["custom_id"], "result": kind} for line, kind in zip(lines, kinds, strict=False)]

    provider.outcome = outcome
    with ScriptedUpstream(provider) as upstream:
        folder = folder_of(tmp_path, upstream, "anthropic")
        folder.prompts(5)
        code, _, err = folder.run(*JOB, "anthropic")
        assert code == 8, err
        assert [row["output"] is not None for row in folder.rows()] == [True, True, True, False, True]
        assert folder.rows()[3]["error"]["http_status"] == 400
        assert [len(lines) for lines in provider.requests] == [5, 4]
        assert provider.requests[0][0]["params"]["model"] == "gpt-4o-mini"
