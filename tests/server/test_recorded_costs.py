"""Every recording through the real door, relayed and translated, costs what genai-prices makes of the usage it reports."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import genai_prices
import pytest

from kit.across import CLIENTS, ask, send
from kit.gate import GateProcess, running_gate
from kit.recordings import recorded
from kit.scripted import ScriptedUpstream, chat_answer, event_stream, json_answer
from tollkeeper.core.money import NANO
from tollkeeper.providers import PROVIDERS

FOLDERS = {
    "openai/chat": ("openai_chat", "chat"),
    "openai/responses": ("openai_responses", "responses"),
    "groq/chat": ("openai_chat", "default"),
    "openrouter/chat": ("openai_chat", "chat"),
    "anthropic/messages": ("anthropic_messages", "default"),
    "gemini/generate": ("gemini_generate", "default"),
}
"""The dialect of each, and what genai-prices calls it."""
PATHS = {"gemini": "/v1beta/openai"}
HALF = Decimal("0.5")


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(json_answer(200, chat_answer())) as scripted:
        yield scripted


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    """A gate with a provider for each folder, which speaks the dialect of its recordings and no other."""
    text = ""
    for folder, (dialect, _) in FOLDERS.items():
        kind = folder.partition("/")[0]
        text += f"""
[providers.{folder.replace("/", "-")}]
kind = "{kind}"
base_url = "{upstream.url.removesuffix("/v1")}{PATHS.get(kind, "/v1")}"
api_key = "provider-key-0123456789"
speaks = ["{dialect}"]
prices = "{PROVIDERS[kind].prices}"
timeouts = {{ connect = 10, first_byte = 30, idle = 30, total = 60 }}
"""
    with running_gate(tmp_path_factory.mktemp("gate"), text) as running:
        yield running


def _reported(recording: bytes) -> tuple[dict[str, Any], str, str | None]:
    """What a recording says of its usage, its model and its service tier, read the plainest way there is."""
    usage: dict[str, Any] = {}
    model, tier = "", None
    for line in re.split(rb"\r\n|\n|\r", recording):
        if not line.startswith(b"data:") or line[5:].strip() in (b"", b"[DONE]"):
            continue
        data = json.loads(line[5:])
        for part in (data, data.get("response"), data.get("message"), data.get("x_groq")):
            if not isinstance(part, dict):
                continue
            found = part.get("usage") or part.get("usageMetadata") or {}
            told = {name: value for name, value in found.items() if value is not None}
            # Figures of a message_delta lie over those of its message_start; all others say everything anew.
            usage = usage | told if data.get("type") == "message_delta" else told or usage
            model = part.get("model") or part.get("modelVersion") or model
            tier = part.get("service_tier") or found.get("service_tier") or tier
    return usage, model, tier


def _expected(folder: str, usage: dict[str, Any], model: str, tier: str | None, when_ms: int) -> Decimal | None:
    """Nano-USD; None where genai-prices does not know the model. Where iterations are listed, they are what is billed."""
    kind = folder.partition("/")[0]
    total = Decimal(0)
    for each in usage.get("iterations") or [usage]:
        answer = {"model": model, "usage": each, "modelVersion": model, "usageMetadata": each}
        try:
            cost = genai_prices.extract_usage(
                answer, provider_id=PROVIDERS[kind].prices or "", api_flavor=FOLDERS[folder][1]
            ).calc_price(
                genai_request_timestamp=datetime.fromtimestamp(when_ms / 1000, UTC),
                price_context={"service_tier": tier} if tier else None,
            )
        except LookupError:
            return None
        total += cost.total_price * NANO
    return total


@pytest.mark.parametrize("translated", [False, True], ids=["relayed", "translated"])
@pytest.mark.parametrize("path", recorded(*FOLDERS))
def test_a_recording_costs_what_genai_prices_makes_of_its_usage(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, path: Path, translated: bool
) -> None:
    folder = "/".join(path.parts[-3:-1])
    recording = path.read_bytes()
    dialect, _ = FOLDERS[folder]
    others = [client for client in CLIENTS if client != dialect]
    client = others[sum(path.stem.encode()) % len(others)] if translated else dialect
    usage, model, tier = _reported(recording)
    upstream.script = event_stream(recording)

    status, headers, _ = send(gate, key, ask(client, f"{folder.replace('/', '-')}/{model}", stream=True))

    assert status == 200 or "error" in path.stem
    event = gate.event(headers["x-request-id"])
    if not usage:
        assert event["quality"] != "reported"
        return
    cost = _expected(folder, usage, model, tier, event["started_at"])
    if cost is None:
        assert (event["quality"], event["cost_usd"]) == ("unpriced", None)
    else:
        assert event["quality"] == "reported"
        assert abs(Decimal(event["cost_usd"]) * NANO - cost) <= HALF


# The one has plain prices, the other has tiers.
@pytest.mark.parametrize("model", ["claude-haiku-4-5-20251001", "claude-sonnet-4-5-20250929"])
@pytest.mark.parametrize("client", ["anthropic_messages", "openai_chat"])
def test_writes_for_an_hour_and_searches_cost_what_genai_prices_makes_of_them(
    gate: GateProcess, upstream: ScriptedUpstream, key: str, client: str, model: str
) -> None:
    usage = {
        "input_tokens": 11,
        "cache_creation_input_tokens": 3000,
        "cache_creation": {"ephemeral_5m_input_tokens": 1000, "ephemeral_1h_input_tokens": 2000},
        "cache_read_input_tokens": 400,
        "output_tokens": 50,
        "server_tool_use": {"web_search_requests": 3},
    }
    said = {"content": [{"type": "text", "text": "Hi"}], "stop_reason": "end_turn", "usage": usage}
    upstream.script = json_answer(200, {"id": "m", "type": "message", "role": "assistant", "model": model, **said})

    _, headers, _ = send(gate, key, ask(client, f"anthropic-messages/{model}", stream=False))

    event = gate.event(headers["x-request-id"])
    counts = (event["cache_write_tokens"], event["cache_write_1h_tokens"], event["web_searches"])
    assert counts == (3000, 2000, 3)
    cost = _expected("anthropic/messages", usage, model, None, event["started_at"])
    assert cost is not None
    assert abs(Decimal(event["cost_usd"]) * NANO - cost) <= HALF
