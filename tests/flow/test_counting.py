"""Tokens that no provider reported are counted behind the calls: late, never lost, and not without bound."""

import json
from pathlib import Path

from kit.gate import running_gate
from kit.scripted import ScriptedUpstream, chat_answer, json_answer
from kit.vitals import becomes

CONFIG = """
[relay]
uncounted = 6000000
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-x"
[models.m]
targets = ["up/m"]
price = {{ input = 1, output = 1 }}
"""
SILENT = {name: value for name, value in chat_answer("Hi").items() if name != "usage"}
WORDS = 700_000
"""Three and a half megabytes: more than half of what may wait."""
AROUND = 9
"""Tokens of a message beside its words: its frame, its role, the space at its end."""


def _ask(words: int) -> dict[str, object]:
    return {"model": "m", "messages": [{"role": "user", "content": "word " * words}]}


def test_while_too_much_of_a_key_waits_to_be_counted_its_calls_alone_are_refused_and_none_of_it_is_lost(
    tmp_path: Path,
) -> None:
    with (
        ScriptedUpstream(json_answer(200, SILENT)) as upstream,
        running_gate(tmp_path, CONFIG.format(url=upstream.url)) as gate,
    ):
        key, another = gate.new_key(), gate.new_key()
        long = taken = 0
        refused: dict[str, str] | None = None
        while refused is None and long < 10:  # the machine may stall for as long as the counting takes
            assert gate.call("POST", "/v1/chat/completions", key, _ask(WORDS))[0] == 200
            long += 1
            status, headers, body = gate.call("POST", "/v1/chat/completions", key, _ask(1))
            taken += status == 200
            if status != 200:
                assert (status, json.loads(body)["error"]["code"]) == (503, "counting_behind")
                refused = headers

        assert gate.call("POST", "/v1/chat/completions", another, _ask(1))[0] == 200
        assert refused is not None
        assert refused["retry-after"] == "1"
        assert becomes(lambda: gate.call("POST", "/v1/chat/completions", key, _ask(1))[0] == 200)
        events = gate.events_once(long + taken + 2)
        assert sorted(event["input_tokens"] for event in events) == [1 + AROUND] * (taken + 2) + [WORDS + AROUND] * long
        assert {event["quality"] for event in events} == {"counted"}
        assert b"tollkeeper_uncounted_bytes 0.0" in gate.operator("GET", "/metrics")[2]
        assert len(upstream.requests) == len(events)
