"""Files and batches that the gate keeps and runs itself, seen by OpenAI's own client, unchanged."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, NotFoundError, OpenAI

from kit.batching import OpenAIBatchProvider
from kit.gate import GateProcess, running_gate
from kit.jobs import after, echo
from kit.scripted import Connection, Request, ScriptedUpstream, json_answer
from kit.vitals import becomes

CONFIG = """
[providers.up]
kind = "openai"
base_url = "{url}"
[models.m]
targets = ["up/gpt-4o-mini"]
price = {{ input = 1, output = 2 }}
[batches]
concurrency = 4
"""

MEGABYTE = 1024 * 1024


def client_of(gate: GateProcess, **fields: Any) -> OpenAI:
    return OpenAI(base_url=f"{gate.url}/v1", api_key=gate.new_key(**fields), max_retries=0)


def lines(count: int, model: str = "m") -> bytes:
    rows = []
    for number in range(count):
        body = {"model": model, "messages": [{"role": "user", "content": f"prompt {number}"}]}
        rows.append({"custom_id": f"row-{number}", "method": "POST", "url": "/v1/chat/completions", "body": body})
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def begun(client: OpenAI, content: bytes, **more: Any) -> Any:
    file = client.files.create(file=("in.jsonl", content), purpose="batch")
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", **more
    )


def ended(client: OpenAI, id: str) -> Any:
    becomes(lambda: client.batches.retrieve(id).status in ("completed", "failed", "expired", "cancelled"), seconds=60)
    return client.batches.retrieve(id)


def rows(client: OpenAI, file: str | None) -> list[Any]:
    return [] if file is None else [json.loads(line) for line in client.files.content(file).read().splitlines()]


def said(row: Any) -> str:
    return str(row["response"]["body"]["choices"][0]["message"]["content"])


def test_a_batch_client_works_with_a_model_whose_provider_has_no_batches(tmp_path: Path) -> None:
    with ScriptedUpstream(echo) as upstream, running_gate(tmp_path, CONFIG.format(url=upstream.url)) as gate:
        client = client_of(gate)
        batch = begun(client, lines(20), metadata={"what": "test"})
        assert (batch.object, batch.status, batch.metadata) == ("batch", "validating", {"what": "test"})
        batch = ended(client, batch.id)
        assert (batch.status, batch.error_file_id) == ("completed", None)
        assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (20, 20, 0)
        found = rows(client, batch.output_file_id)
        assert [row["custom_id"] for row in found] == [f"row-{number}" for number in range(20)]
        assert [said(row) for row in found] == [f"re: prompt {number}" for number in range(20)]
        assert found[0]["response"]["body"]["usage"]["total_tokens"] == 12
        assert [each.id for each in client.batches.list()] == [batch.id]
        assert {each.purpose for each in client.files.list()} == {"batch", "batch_output"}
        events = gate.events_once(20)
        assert len(events) == 20
        assert {event["cost_usd"] for event in events} == {"0.000015"}
        assert client.files.delete(batch.input_file_id).deleted
        with pytest.raises(NotFoundError):
            client.files.retrieve(batch.input_file_id)


def test_rows_that_fail_stand_in_the_error_file(tmp_path: Path) -> None:
    def script(request: Request, connection: Connection) -> bool | None:
        if request.json()["messages"][-1]["content"] == "prompt 1":
            error = {"message": "too long", "type": "invalid_request_error", "code": "context_length_exceeded"}
            return json_answer(400, {"error": error})(request, connection)
        return echo(request, connection)

    with ScriptedUpstream(script) as upstream, running_gate(tmp_path, CONFIG.format(url=upstream.url)) as gate:
        client = client_of(gate)
        batch = ended(client, begun(client, lines(3) + b"no json\n").id)
        assert batch.status == "completed"
        assert (batch.request_counts.completed, batch.request_counts.failed) == (2, 2)
        assert [row["custom_id"] for row in rows(client, batch.output_file_id)] == ["row-0", "row-2"]
        refused, broken = rows(client, batch.error_file_id)
        assert refused["custom_id"] == "row-1"
        assert refused["response"]["status_code"] == 400
        assert refused["error"]["code"] == "context_length_exceeded"
        assert broken["error"]["code"] == "invalid_row"


def test_a_batch_goes_on_after_the_gate_was_killed(tmp_path: Path) -> None:
    with ScriptedUpstream(after(0.03)) as upstream, running_gate(tmp_path, CONFIG.format(url=upstream.url)) as gate:
        secret = gate.new_key()
        client = OpenAI(base_url=f"{gate.url}/v1", api_key=secret, max_retries=0)
        batch = begun(client, lines(120))
        becomes(lambda: len(upstream.requests) >= 20)
        gate.stop(9)
        gate.start()
        client = OpenAI(base_url=f"{gate.url}/v1", api_key=secret, max_retries=0)
        batch = ended(client, batch.id)
        assert batch.status == "completed"
        assert [said(row) for row in rows(client, batch.output_file_id)] == [f"re: prompt {n}" for n in range(120)]
        assert (batch.request_counts.total, batch.request_counts.completed) == (120, 120)
        assert len(upstream.requests) <= 120 + 4


def test_a_cancelled_batch_keeps_what_it_has_and_says_what_was_not_run(tmp_path: Path) -> None:
    with ScriptedUpstream(after(0.1)) as upstream, running_gate(tmp_path, CONFIG.format(url=upstream.url)) as gate:
        client = client_of(gate)
        batch = begun(client, lines(200))
        becomes(lambda: len(upstream.requests) >= 8)
        assert client.batches.cancel(batch.id).status == "cancelling"
        batch = ended(client, batch.id)
        assert batch.status == "cancelled"
        well, failed = rows(client, batch.output_file_id), rows(client, batch.error_file_id)
        assert 0 < len(well) < 200
        assert len(well) + len(failed) == 200
        assert {row["error"]["code"] for row in failed} == {"batch_cancelled"}
        with pytest.raises(APIStatusError, match="already"):
            client.batches.cancel(batch.id)


def test_ids_that_stand_twice_fail_the_batch_before_anything_is_asked(tmp_path: Path) -> None:
    with ScriptedUpstream(echo) as upstream, running_gate(tmp_path, CONFIG.format(url=upstream.url)) as gate:
        client = client_of(gate)
        batch = ended(client, begun(client, lines(2) + lines(1)).id)
        assert batch.status == "failed"
        assert batch.errors.data[0].code == "duplicate_custom_id"
        assert not upstream.requests


def test_files_and_batches_of_one_team_are_not_there_for_others(tmp_path: Path) -> None:
    with ScriptedUpstream(echo) as upstream, running_gate(tmp_path, CONFIG.format(url=upstream.url)) as gate:
        client, other = client_of(gate, team="red"), client_of(gate, name="other", team="blue")
        batch = ended(client, begun(client, lines(1)).id)
        mate = client_of(gate, name="mate", team="red")
        assert [each.id for each in mate.batches.list()] == [batch.id]
        assert rows(mate, batch.output_file_id) == rows(client, batch.output_file_id)
        assert not list(other.batches.list())
        assert not list(other.files.list())
        with pytest.raises(NotFoundError):
            other.batches.retrieve(batch.id)
        with pytest.raises(NotFoundError):
            other.files.content(batch.output_file_id)
        with pytest.raises(NotFoundError):
            other.batches.create(
                input_file_id=batch.input_file_id, endpoint="/v1/chat/completions", completion_window="24h"
            )


def test_a_batch_keeps_to_the_budget_of_its_key(tmp_path: Path) -> None:
    with ScriptedUpstream(echo) as upstream, running_gate(tmp_path, CONFIG.format(url=upstream.url)) as gate:
        client = client_of(gate, budgets=["0.001 USD"])
        body = lines(100).replace(b'"model": "m"', b'"model": "m", "max_tokens": 3')
        batch = ended(client, begun(client, body).id)
        assert batch.status == "failed"
        assert batch.errors.data[0].code == "budget_exceeded"
        spent = sum(float(event["cost_usd"]) for event in gate.events())
        assert 0 < spent <= 0.001
        assert len(rows(client, batch.output_file_id)) == len(upstream.requests)


def test_what_goes_to_a_provider_with_batches_is_relayed_to_it(tmp_path: Path) -> None:
    provider = OpenAIBatchProvider()
    more = """
[providers.real]
kind = "openai"
base_url = "{url}"
batch = "openai"
[models.r]
targets = ["real/gpt-4o-mini"]
price = {{ input = 1, output = 2 }}
"""
    with (
        ScriptedUpstream(echo) as local,
        ScriptedUpstream(provider) as real,
        running_gate(tmp_path, CONFIG.format(url=local.url) + more.format(url=real.url)) as gate,
    ):
        client = client_of(gate)
        file = client.files.create(file=("in.jsonl", lines(3, "r")), purpose="batch")
        assert file.id == "file-1"
        assert provider.files["file-1"] == lines(3, "r")
        batch = client.batches.create(
            input_file_id=file.id,
            endpoint="/v1/chat/completions",
            completion_window="24h",
            metadata={},
        )
        assert batch.id == "batch-1"
        assert not local.requests
        assert ended(client, begun(client, lines(2)).id).status == "completed"
        assert len(local.requests) == 2


def test_a_file_is_looked_through_on_disk_wherever_its_pieces_are_cut(tmp_path: Path) -> None:
    """It is read in pieces of 256 KB: its end lies before, on and after the end of the first one here."""
    answer = json_answer(200, {"id": "file-of-the-provider", "object": "file"})
    with ScriptedUpstream(answer) as upstream, running_gate(tmp_path, CONFIG.format(url=upstream.url)) as gate:
        client = client_of(gate)
        row = lines(1)
        for length in range(256 * 1024 - 400, 256 * 1024 - 60, 10):
            content = row + b" " * (length - len(row))
            file = client.files.create(file=("in.jsonl", content), purpose="batch")
            assert client.files.content(file.id).read() == content
        assert not upstream.requests

        before = _most_resident(gate)
        client.files.create(file=("in.jsonl", b"x" * 50 * MEGABYTE), purpose="batch")
        assert _most_resident(gate) - before < 25 * MEGABYTE


def _most_resident(gate: GateProcess) -> int:
    """Bytes of memory that the gate has occupied at most until now."""
    status = Path(f"/proc/{gate.process.pid}/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


def test_what_cannot_be_a_batch_is_refused(tmp_path: Path) -> None:
    with ScriptedUpstream(echo) as upstream, running_gate(tmp_path, CONFIG.format(url=upstream.url)) as gate:
        client = client_of(gate)
        file = client.files.create(file=("in.jsonl", lines(1)), purpose="batch")
        for wrong in ({"endpoint": "/v1/pictures"}, {"completion_window": "1h"}, {"metadata": {"a": 1}}):
            wanted: Any = {
                "input_file_id": file.id,
                "endpoint": "/v1/chat/completions",
                "completion_window": "24h",
                **wrong,
            }
            with pytest.raises(APIStatusError) as caught:
                client.batches.create(**wanted)
            assert caught.value.status_code == 400
        assert time.time() - file.created_at < 600
