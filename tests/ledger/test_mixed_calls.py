"""The ledger against an upstream's own count: 500 mixed calls, and after kill -9 in their midst."""

import asyncio
import signal
import threading
import time
from pathlib import Path

from kit.gate import GateProcess, running_gate
from kit.scripted import ScriptedUpstream
from ledger.mixed import Count, counting_upstream, many

CANARY = "sk-provider-canary-5f1d8c2b7a"
CONFIG = """
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "{secret}"
[models.m]
targets = ["up/m"]
price = {{ input = 1, output = 2 }}
"""


def _numbers(gate: GateProcess) -> list[dict[str, object]]:
    return gate.command("events", "--limit", "100000")


def _compare(events: list[dict[str, object]], count: Count) -> None:
    """Rows that report, against what the upstream reported to its last byte."""
    reported = [event for event in events if event["quality"] == "reported"]
    sums = [sum(int(str(event[name])) for event in reported) for name in ("input_tokens", "output_tokens")]

    assert len({(event["request_id"], event["attempt"]) for event in events}) == len(events)
    assert sums == [sum(pair[side] for pair in count.reported.values()) for side in (0, 1)]
    assert len(reported) == len(count.reported)


def test_500_mixed_calls_are_in_the_ledger_as_the_upstream_counted_them_and_no_secret_is_anywhere(
    tmp_path: Path,
) -> None:
    count = Count()
    with (
        ScriptedUpstream(counting_upstream(count, CANARY)) as upstream,
        running_gate(tmp_path, CONFIG.format(url=upstream.url, secret=CANARY)) as gate,
    ):
        key = gate.new_key(name="caller")
        asyncio.run(many(gate.port, key, 0, 500, seed=7))
        events = gate.events_once(500)

        assert len(events) == len(count.seen) == 500
        _compare(events, count)
        assert gate.command("verify")["ok"]
        status, _, refused = gate.call(
            "POST",
            "/v1/chat/completions",
            key,
            {"model": "m", "messages": [{"role": "user", "content": "failing 1 x"}]},
        )
        assert status == 500
        assert CANARY.encode() not in refused
        _, _, metrics = gate.operator("GET", "/metrics")
        _, _, usage = gate.operator("GET", "/api/usage")
        assert gate.stop() == 0
        sinks = {"metrics": metrics, "usage": usage, "refusal": refused}
        sinks |= {file.name: file.read_bytes() for file in gate.home.iterdir() if file.is_file()}
        sinks["log"] = gate.log_file.read_bytes()
        sinks["sent upstream"] = repr([(r.path, r.headers, r.body) for r in upstream.requests]).encode()

    assert [name for name, content in sinks.items() if key.encode() in content] == []
    assert [name for name, content in sinks.items() if CANARY.encode() in content] == ["sent upstream"]
    assert len(sinks["log"].splitlines()) >= 500


def test_after_kill_9_in_the_midst_every_call_the_upstream_saw_has_one_event(tmp_path: Path) -> None:
    count = Count()
    with (
        ScriptedUpstream(counting_upstream(count, CANARY)) as upstream,
        running_gate(tmp_path, CONFIG.format(url=upstream.url, secret=CANARY)) as gate,
    ):
        key = gate.new_key(name="caller")
        for round_number in range(3):
            first = round_number * 500
            port = gate.port
            load = threading.Thread(target=lambda: asyncio.run(many(port, key, first, first + 500, seed=first)))  # noqa: B023
            load.start()
            time.sleep(0.4)
            gate.stop(signal.SIGKILL)
            load.join(60)
            gate.start()

        events = _numbers(gate)
        recovered = [event for event in events if event["quality"] == "recovered"]
        assert len(recovered) >= 1
        assert len(count.seen) <= len(events)
        assert len(events) - len(count.seen) <= 25 * 3
        reported = [event for event in events if event["quality"] == "reported"]
        assert len(reported) <= len(count.reported)
        assert len(count.reported) - len(reported) <= len(recovered)
        assert len({(event["request_id"], event["attempt"]) for event in events}) == len(events)
        verified = gate.command("verify")
        assert (verified["ok"], verified["open_holds"]) == (True, 0)
