"""What a job may spend at most: kept in this process and through a gate, over resumes and kills."""

import json
import signal
from pathlib import Path

import pytest

from kit.jobs import Folder, after, answers, echo
from kit.scripted import Connection, Request, ScriptedUpstream, chat_answer, json_answer
from kit.vitals import becomes

JOB = ("in.jsonl", "-o", "out.jsonl", "--model", "m", "--set", "max_tokens=3", "--concurrency", "10")
EACH = 15_000
"""Nano-USD that a row costs: 9 tokens in, 3 out."""


def _spent(folder: Folder) -> float:
    return float(folder.command("usage", "--by", "key")[0]["cost_usd"])


@pytest.mark.row(88)
def test_a_job_stops_before_its_cap_and_goes_on_under_a_higher_one(tmp_path: Path) -> None:
    with ScriptedUpstream(after(0.01)) as upstream:
        folder = Folder(tmp_path, upstream.url)
        folder.prompts(200)
        code, out, err = folder.run(*JOB, "--max-cost", "0.001")
        assert code == 6, err
        assert "--max-cost is a budget on top of what the key had spent before" in out
        assert "budget" in out
        asked = len(upstream.requests)
        assert 20 <= asked <= 66
        assert _spent(folder) <= 0.001
        assert sum(row["error"] is None for row in folder.rows()) == asked
        code, _, err = folder.run(*JOB, "--resume", "--max-cost", "0.0011")
        assert code == 6, err
        assert _spent(folder) <= 0.0011
        code, _, err = folder.run(*JOB, "--resume", "--max-cost", "0.01")
        assert code == 0, err
        assert [row["output"] for row in folder.rows()] == answers(200)
        assert len(upstream.requests) == 200


@pytest.mark.row(88)
def test_a_killed_job_does_not_begin_its_cap_anew(tmp_path: Path) -> None:
    with ScriptedUpstream(after(0.01)) as upstream:
        folder = Folder(tmp_path, upstream.url)
        folder.prompts(200)
        process = folder.start(*JOB, "--max-cost", "0.0015")
        assert becomes(lambda: len(upstream.requests) >= 30)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert folder.run(*JOB, "--resume", "--max-cost", "0.0015")[0] == 6
        assert _spent(folder) <= 0.0015
        assert len(upstream.requests) <= 100


@pytest.mark.row(88)
def test_through_a_gate_the_cap_is_kept_by_what_calls_have_cost(tmp_path: Path) -> None:
    def gate(request: Request, connection: Connection) -> bool:
        text = request.json()["messages"][-1]["content"]
        return bool(json_answer(200, chat_answer(text), "x-tollkeeper-cost: 0.00002")(request, connection))

    with ScriptedUpstream(gate) as upstream:
        folder = Folder(tmp_path, upstream.url)
        folder.prompts(100)
        arguments = (*JOB, "--gate", upstream.url, "--max-cost", "0.001", "--json")
        code, out, err = folder.run(*arguments, TOLLKEEPER_KEY="tk-x")
        assert code == 6, err
        assert json.loads(out)["cost_usd"] == "0.001"
        assert len(upstream.requests) == 50


@pytest.mark.parametrize("amount", ["0", "-1", "much", "0.0000000001"])
def test_a_cap_that_is_no_amount_is_refused(tmp_path: Path, amount: str) -> None:
    with ScriptedUpstream(echo) as upstream:
        folder = Folder(tmp_path, upstream.url)
        folder.prompts(1)
        code, _, err = folder.run(*JOB, "--max-cost", amount)
        assert code == 1
        assert "--max-cost takes an amount in USD" in err
        assert upstream.requests == []
