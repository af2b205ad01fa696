"""Providers' own clients against providers of every dialect through one gate: what works, as docs/compatibility.md says it.

`python -m clients.compatibility` in tests/ writes the page anew.
"""

import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from clients.environments import CLIENTS, HAS_NODE, answer_of
from kit.across import PROVIDERS, config, media_type, spoken
from kit.gate import GateProcess, running_gate
from kit.scripted import Connection, Request, ScriptedUpstream
from kit.translations import SAYS
from tollkeeper.core.conversation import Seal
from tollkeeper.core.deltas import (
    END,
    BlockEnd,
    Delta,
    Failed,
    Failure,
    Finish,
    ReasoningStart,
    Sealed,
    Start,
    TextDelta,
    TextStart,
    ToolStart,
    UsageNoted,
)
from tollkeeper.core.usage import Reported, Usage

HERE = Path(__file__).parent
PAGE = HERE.parent.parent / "docs" / "compatibility.md"
IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SCHEMA = {
    "type": "object",
    "properties": {"forty_two": {"type": "integer"}},
    "required": ["forty_two"],
    "additionalProperties": False,
}
TOOLS = [{"name": "weather", "schema": {"type": "object", "properties": {"city": {"type": "string"}}}}]
_USAGE = UsageNoted(Reported(Usage(input_tokens=9, output_tokens=4), b"{}"))
_BROKEN = Failure("it broke in the middle", 500, "server_error", "server_error")


class Sdk(NamedTuple):
    """One client in one environment."""

    label: str
    environment: str
    script: str
    options: dict[str, str]

    @property
    def command(self) -> list[str]:
        """How it is run."""
        run = str(CLIENTS / self.environment / "bin" / "python") if self.script.endswith(".py") else "node"
        return [run, str(HERE / "sdks" / self.script)]

    @property
    def is_there(self) -> bool:
        """Whether scripts/setup-clients has made its environment."""
        return HAS_NODE if self.environment == "node" else Path(self.command[0]).exists()


SDKS = (
    Sdk("openai (Chat Completions)", "sdks", "openai_sdk.py", {"api": "chat"}),
    Sdk("openai (Responses)", "sdks", "openai_sdk.py", {"api": "responses"}),
    Sdk("openai 0.28.1", "openai028", "openai_028_sdk.py", {}),
    Sdk("openai for Node (Chat Completions)", "node", "openai_sdk.cjs", {"api": "chat"}),
    Sdk("openai for Node (Responses)", "node", "openai_sdk.cjs", {"api": "responses"}),
    Sdk("ai with @ai-sdk/openai (Chat Completions)", "node", "ai_sdk.cjs", {"api": "chat"}),
    Sdk("ai with @ai-sdk/openai (Responses)", "node", "ai_sdk.cjs", {"api": "responses"}),
    Sdk("ai with @ai-sdk/anthropic", "node", "ai_sdk.cjs", {"api": "messages"}),
    Sdk("@anthropic-ai/sdk", "node", "anthropic_sdk.cjs", {}),
    Sdk("anthropic", "sdks", "anthropic_sdk.py", {}),
    Sdk("anthropic before 1.0", "anthropic0", "anthropic_sdk.py", {}),
    Sdk("google-genai", "sdks", "google_sdk.py", {}),
    Sdk("ollama", "sdks", "ollama_sdk.py", {}),
)


class Case(NamedTuple):
    """One thing that a client does."""

    said: list[Delta]
    expected: dict[str, Any]
    more: tuple[tuple[str, Any], ...] = ()
    """Members of the job."""
    status: int = 200
    streamed: tuple[bool, ...] = (False, True)


def _text(block: int, *pieces: str) -> list[Delta]:
    return [TextStart(block), *(TextDelta(block, piece) for piece in pieces), BlockEnd(block)]


def _tool(block: int, *pieces: str) -> list[Delta]:
    start = ToolStart(block, f"call_{block}", "weather")
    return [start, *(TextDelta(block, piece) for piece in pieces), BlockEnd(block)]


def _answer(*deltas: list[Delta], tool: bool = False) -> list[Delta]:
    said = [delta for part in deltas for delta in part]
    return [Start("id-1", "model-1", 1_700_000_000), *said, Finish("tool" if tool else "end"), _USAGE, END]


_THOUGHTS: list[Delta] = [
    ReasoningStart(0),
    TextDelta(0, "Hm"),
    TextDelta(0, "m."),
    Sealed(0, Seal("c2VhbA==", "someone")),
    BlockEnd(0),
]
CASES = {
    "text": Case(_answer(_text(0, "Hé", "llo!")), {"text": "Héllo!", "tokens": [9, 4]}),
    "one tool": Case(
        _answer(_tool(0, '{"ci', 'ty":"Paris"}'), tool=True),
        {"tools": [["weather", {"city": "Paris"}]], "stop": True},
        (("tools", TOOLS),),
    ),
    "parallel tools": Case(
        _answer(_text(0, "Let me see."), _tool(1, '{"city":"Paris"}'), _tool(2, '{"city":', '"Rome"}'), tool=True),
        {"text": "Let me see.", "tools": [["weather", {"city": "Paris"}], ["weather", {"city": "Rome"}]]},
        (("tools", TOOLS),),
    ),
    "no arguments": Case(_answer(_tool(0), tool=True), {"tools": [["weather", {}]]}, (("tools", TOOLS),)),
    "image": Case(_answer(_text(0, "A pixel.")), {"text": "A pixel."}, (("image", IMAGE),)),
    "structured": Case(_answer(_text(0, '{"forty_', 'two":42}')), {"text": '{"forty_two":42}'}, (("schema", SCHEMA),)),
    "reasoning": Case(_answer(_THOUGHTS, _text(1, "Yes.")), {"text": "Yes.", "thoughts": "Hmm."}),
    "refused (429)": Case([Failed(Failure("slow down", 429, "rate_limit_error", "busy"))], {"error": 429}, status=429),
    "broken (500)": Case([Failed(Failure("it broke", 500, "server_error", "oops"))], {"error": 500}, status=500),
    "broken midway": Case(
        [Start("id-1", "model-1", 1), TextStart(0), TextDelta(0, "Hé"), Failed(_BROKEN)],
        {"message": re.compile("it broke in the middle")},
        streamed=(True,),
    ),
}
_NAMES = {name.replace(" ", "-"): name for name in CASES}
_PATHS = {
    "chat/completions": "openai_chat",
    "responses": "openai_responses",
    "messages": "anthropic_messages",
    "generateContent": "gemini_generate",
    "streamGenerateContent": "gemini_generate",
    "api/chat": "ollama_chat",
}


def provider(request: Request, connection: Connection) -> bool:
    """An upstream of every dialect, that answers a request by the case that it names. Blind where it was shown nothing."""
    path = request.path.partition("?")[0]
    dialect = next(name for ending, name in _PATHS.items() if path.endswith(ending))
    named = re.search(rb"case=([a-z0-9()-]+);", request.body)
    case = CASES[_NAMES[named[1].decode()]] if named else CASES["text"]
    stream = "streamGenerate" in path or re.search(rb'"stream":\s*true', request.body) is not None
    said = case.said
    seen = request.body.replace(b"-", b"+") if dialect == "gemini_generate" else request.body  # it reads both alphabets
    missing = ("image" in dict(case.more) and IMAGE.encode() not in seen) or (
        "schema" in dict(case.more) and b"forty_two" not in request.body
    )
    if missing:
        said = _answer(_text(0, "I was not shown it."))
    if case.status != 200:
        assert isinstance(said[0], Failed)
        body, kind = SAYS[dialect].translator.render_failure(said[0].failure), "application/json"
    else:
        body, kind = spoken(dialect, said, stream=stream), media_type(dialect, stream=stream)
    head = f"HTTP/1.1 {case.status} X\r\ncontent-type: {kind}\r\ncontent-length: {len(body)}\r\n\r\n"
    return connection.send(head.encode() + body)


def jobs() -> list[dict[str, Any]]:
    """Every case with every provider, whole and streamed."""
    return [
        {"model": dialect, "text": f"case={name.replace(' ', '-')};", "stream": stream, "case": name, **dict(case.more)}
        for dialect in PROVIDERS
        for name, case in CASES.items()
        for stream in case.streamed
    ]


def outcomes(sdk: Sdk, gate: GateProcess, key: str) -> dict[tuple[str, str], list[str]]:
    """By provider and case: what was not as expected."""
    todo = jobs()
    job = {"url": gate.url, "key": key, "jobs": todo, **sdk.options}
    answers = answer_of(sdk.command, job, {}, 300)
    found: dict[tuple[str, str], list[str]] = {}
    for asked, answer in zip(todo, answers, strict=True):
        troubles = found.setdefault((asked["model"], asked["case"]), [])
        for name, value in CASES[asked["case"]].expected.items():
            got = answer.get(name)
            good = value.search(str(got)) is not None if isinstance(value, re.Pattern) else got == value
            if not good:
                how = "streamed" if asked["stream"] else "whole"
                troubles.append(
                    f"{how}: {name} is {got!r}" + (f" ({answer['message']})" if "message" in answer else "")
                )
    return found


def rows(sdk: Sdk, found: dict[tuple[str, str], list[str]]) -> list[str]:
    """The page's rows for one client."""
    lines = []
    for dialect in PROVIDERS:
        cells = ["-" if found[dialect, case] else "yes" for case in CASES]
        lines.append(f"| {sdk.label} | `{dialect}` | {' | '.join(cells)} |")
    return lines


def page(all_rows: Sequence[str]) -> str:
    """The whole page."""
    head = f"""# Compatibility
Clients against providers of every dialect, through the gate: each case whole and streamed. The table is made from the test
run that checks it (`tests/clients/test_compatibility.py`); `python -m clients.compatibility` in `tests/` writes it anew.

`yes`: the client gets what the provider said. `-`: not all of it, or not in a form that the client shows.

| client | provider's dialect | {" | ".join(CASES)} |
|---|---|{"---|" * len(CASES)}
"""
    return head + "\n".join(all_rows) + "\n"


def main() -> None:
    """Writes the page, and what is behind each `-` to standard error."""
    lines: list[str] = []
    with (
        ScriptedUpstream(provider) as upstream,
        tempfile.TemporaryDirectory() as folder,
        running_gate(Path(folder), config(upstream.port)) as gate,
    ):
        key = gate.new_key()
        for sdk in SDKS:
            found = outcomes(sdk, gate, key)
            lines += rows(sdk, found)
            for (dialect, case), troubles in found.items():
                for trouble in troubles:
                    print(f"{sdk.label} to {dialect}, {case}: {trouble}", file=sys.stderr)
    PAGE.write_text(page(lines), "utf-8")


if __name__ == "__main__":
    main()
