"""Answers cross from one dialect to another: every stream translated and heard, however it ends."""

import json
from itertools import permutations
from typing import Any

import pytest

from kit.recordings import recorded
from kit.translations import (
    ALL,
    ANTHROPIC,
    CHAT,
    IDENTITY,
    RESPONSES,
    SAYS,
    SITTING,
    comparable,
    decoded,
    encoded,
    split,
    usage_said,
)
from tollkeeper.core.answers import gathered
from tollkeeper.core.deltas import (
    BlockEnd,
    End,
    Failed,
    Failure,
    Finish,
    Start,
    TextDelta,
    TextStart,
    ToolStart,
    UsageNoted,
)
from tollkeeper.core.errors import UpstreamError
from tollkeeper.core.translation import Translator
from tollkeeper.core.usage import Reported, Usage
from tollkeeper.dialects.crossing import Crossing

PAIRS = [pytest.param(*pair, id=f"{pair[0].name} to {pair[1].name}") for pair in permutations(ALL, 2)]
USAGE = Reported(Usage(input_tokens=9, cached_input_tokens=2, output_tokens=4), b"{}")
STREAM = [
    Start("id-1", "model-2", 9),
    TextStart(0),
    TextDelta(0, "Hé"),
    TextDelta(0, "llo"),
    BlockEnd(0),
    ToolStart(1, "call_1", "f"),
    TextDelta(1, '{"x":1}'),
    BlockEnd(1),
    Finish("tool"),
    UsageNoted(USAGE, "fast"),
    End(),
]


def crossing(provider: Translator, client: Translator) -> Crossing:
    return Crossing(client, provider, SITTING, IDENTITY)


@pytest.mark.parametrize(("provider", "client"), PAIRS)
def test_a_stream_is_translated_and_heard(provider: Translator, client: Translator) -> None:
    reader = crossing(provider, client).reader()
    sent = b"".join(reader.read(event) for event in split(provider, encoded(provider, STREAM))) + reader.close()

    expected = comparable(gathered(STREAM), provider.name, client.name)
    assert comparable(gathered(decoded(client, sent)), provider.name, client.name) == expected
    assert (reader.finished, reader.done, reader.model, reader.error_code) == (True, True, "model-2", None)
    assert reader.reported is not None
    assert reader.reported.usage == usage_said(USAGE, provider)
    assert reader.delivered() == 'Héllof{"x":1}'


@pytest.mark.parametrize(("provider", "client"), PAIRS)
def test_a_whole_answer_is_translated_and_heard(provider: Translator, client: Translator) -> None:
    found = crossing(provider, client).answer(provider.render_answer(gathered(STREAM), IDENTITY))

    again = gathered(client.read_answer(found.body, SITTING))
    assert comparable(again, provider.name, client.name) == comparable(gathered(STREAM), provider.name, client.name)
    assert found.heard.reported is not None
    assert (found.heard.reported.usage, found.heard.model) == (usage_said(USAGE, provider), "model-2")
    assert found.text == 'Héllo\n{"x":1}'


@pytest.mark.parametrize(("provider", "client"), PAIRS)
def test_an_error_in_a_stream_reaches_the_client_and_is_the_last_thing(
    provider: Translator, client: Translator
) -> None:
    reader = crossing(provider, client).reader()
    broken = [*STREAM[:3], Failed(Failure("too busy", 429, "rate_limit_error", "busy")), *STREAM[3:]]
    sent = b"".join(reader.read(event) for event in split(provider, encoded(provider, broken))) + reader.close()
    failure = gathered(decoded(client, sent)).failure

    assert failure is not None
    assert (failure.message, failure.code) == ("too busy", "busy")
    assert (reader.error_code, reader.done) == ("busy", True)
    assert reader.fail(UpstreamError("late")) == b""


@pytest.mark.parametrize(("provider", "client"), PAIRS)
def test_a_cut_is_no_end_and_is_told_in_the_client_s_dialect(provider: Translator, client: Translator) -> None:
    reader = crossing(provider, client).reader()
    whole = split(provider, encoded(provider, STREAM))
    sent = b"".join(reader.read(event) for event in whole[: len(whole) // 2])
    assert not reader.finished
    sent += reader.fail(UpstreamError("The provider's stream ended before it was finished.", code="upstream_cut"))
    failure = gathered(decoded(client, sent)).failure

    assert failure is not None
    assert (failure.message.startswith("The provider"), failure.code) == (True, "upstream_cut")


@pytest.mark.parametrize(("provider", "client"), PAIRS)
def test_a_refusal_keeps_its_words(provider: Translator, client: Translator) -> None:
    raw = provider.render_failure(Failure("no such model", 404, code="model_not_found"))

    assert b"no such model" in crossing(provider, client).refusal(404, raw)


def test_a_stream_without_an_end_marker_ends_where_its_bytes_do() -> None:
    reader = crossing(CHAT, ANTHROPIC).reader()
    sent = b"".join(reader.read(event) for event in split(CHAT, encoded(CHAT, STREAM)) if b"[DONE]" not in event)

    assert (reader.finished, reader.done) == (True, False)
    assert b"message_stop" not in sent
    assert reader.close().endswith(b'event: message_stop\ndata: {"type":"message_stop"}\n\n')
    assert reader.close() == b""


def test_a_failed_response_is_an_error_answer() -> None:
    failed = {"id": "r", "status": "failed", "output": [], "error": {"code": "server_error", "message": "broken"}}
    found = crossing(RESPONSES, CHAT).answer(json.dumps(failed).encode())

    assert json.loads(found.body)["error"]["message"] == "broken"
    assert found.error_code == "server_error"


@pytest.mark.parametrize("client", ALL, ids=lambda translator: translator.name)
@pytest.mark.parametrize("path", recorded("openai/chat", "openai/responses", "anthropic/messages"))
def test_a_recording_s_usage_is_heard_as_it_reports(path: Any, client: Translator) -> None:
    provider = next(says.translator for says in SAYS.values() if says.folder == path.parent.name)
    reader = crossing(provider, client).reader()
    raw = path.read_bytes()
    sent = b"".join(reader.read(event) for event in split(provider, raw)) + reader.close()
    told = gathered(decoded(client, sent)).reported

    assert reader.reported is not None
    assert told is not None
    assert told.usage == usage_said(reader.reported, client)
