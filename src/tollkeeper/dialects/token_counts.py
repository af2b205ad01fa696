"""Endpoints that count a request's tokens: Anthropic's, Gemini's and that of the Responses API.

They are relayed to providers who speak the dialect; for others the gate counts, and renders what it has counted.
"""

from collections.abc import Callable, Mapping

import msgspec
from msgspec import Raw

from tollkeeper.core.budget import Bounds
from tollkeeper.core.errors import TollkeeperError
from tollkeeper.core.ports import Dialect, EventReader
from tollkeeper.core.provider import Provider
from tollkeeper.core.usage import Heard
from tollkeeper.dialects import anthropic_messages, gemini_generate, openai_request, openai_responses
from tollkeeper.dialects.anthropic_messages import listing as anthropic_listing
from tollkeeper.dialects.gemini_generate import listing as gemini_listing

OPERATION = "count_tokens"


class TokenCount:
    """The counting beside a dialect (`of`)."""

    operation = OPERATION
    json_answer = True
    opaque = False
    counts_text = False
    keep_alive = b""
    sealed = b""

    def __init__(self, name: str, of: Dialect, render: Callable[[int], bytes], *, needs_model: bool = True) -> None:
        self.name = name
        self.of = of
        self.needs_model = needs_model
        self.stream_type = of.stream_type
        self.render = render
        """The answer that says this many tokens."""

    def ask_usage(self, members: Mapping[str, Raw], provider: Provider, streamed: bool) -> openai_request.Ask:
        return openai_request.ASK_NOTHING

    def bounds(self, path: str, members: Mapping[str, Raw], size: int, provider: Provider) -> Bounds:
        return Bounds(0, output_tokens=0)

    def read_answer(self, body: bytes) -> Heard:
        return Heard()

    def answer_text(self, body: bytes) -> str:
        return ""

    def prompt_texts(self, members: Mapping[str, Raw]) -> list[str]:
        inner = members.get("generateContentRequest")
        if inner is not None:  # Gemini's countTokens takes a whole request in the place of contents
            try:
                members = msgspec.json.decode(inner, type=dict[str, Raw])
            except msgspec.DecodeError:
                return []
        return self.of.prompt_texts(members)

    def reader(self, hide_usage: bool) -> EventReader:
        return self.of.reader(hide_usage)

    def render_error(self, error: TollkeeperError) -> bytes:
        return self.of.render_error(error)

    def render_error_event(self, error: TollkeeperError) -> bytes:
        return self.of.render_error_event(error)


def _responses(tokens: int) -> bytes:
    return msgspec.json.encode({"object": "response.input_tokens", "input_tokens": tokens})


ANTHROPIC = TokenCount("anthropic_count", anthropic_messages.DIALECT, anthropic_listing.count)
GEMINI = TokenCount("gemini_count", gemini_generate.DIALECT, gemini_listing.count)
RESPONSES = TokenCount("openai_count", openai_responses.DIALECT, _responses)
