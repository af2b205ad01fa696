"""A request in the neutral form that every dialect maps to: turns, tools, and how the answer is wanted.

Law 1: what a dialect says and this form has a place for is carried; what it has no place for is named, never lost in
        silence: `own` and `unread` hold it, and translators report what they leave out (`core.translation.Rendered`).
Law 2: the order of turns and of the blocks in them is the client's; instructions stay where they stood.
Law 3: a seal (a provider's signature over reasoning) names its origin and is only ever shown to that origin again.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import asdict

Role = Literal["system", "developer", "user", "assistant", "tool"]


class Seal(Struct, frozen=True, tag=True):
    """What a provider signed or encrypted so that it can trust its own reasoning when it comes back."""

    value: str
    origin: str
    """Who can read it: a provider's family ("anthropic"), or a dialect's name where the client did not say more."""


class Inline(Struct, frozen=True, tag=True):
    """Bytes in the request itself."""

    media_type: str
    data: str
    """Base64, without line breaks."""


class Link(Struct, frozen=True, tag=True):
    """Bytes that the provider is to fetch."""

    url: str
    media_type: str | None = None


class Stored(Struct, frozen=True, tag=True):
    """A file uploaded before. Its id means something to one provider only."""

    id: str
    dialect: str


class Words(Struct, frozen=True, tag=True):
    """A document that is plain text."""

    text: str


Source = Inline | Link | Stored | Words


class TokenLogprob(Struct, frozen=True):
    """One token and how likely it was (natural logarithm), with the likeliest others."""

    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None
    top: tuple["TokenLogprob", ...] = ()


class Foreign(Struct, frozen=True, tag=True):
    """JSON that only its own dialect has words for: hosted tools' calls and results, compaction, moderation, …"""

    dialect: str
    data: bytes


class Citation(Struct, frozen=True, tag=True):
    """Where words of an answer come from."""

    url: str | None = None
    title: str | None = None
    text: str | None = None
    """The words of the source."""
    start: int | None = None
    """Of the answer's words that rest on it, in code points from the beginning of the answer's text."""
    end: int | None = None
    own: Foreign | None = None
    """The citation as its dialect wrote it."""


class Text(Struct, frozen=True, tag=True):
    text: str
    citations: tuple[Citation, ...] = ()
    logprobs: tuple[TokenLogprob, ...] | None = None
    cache: str | None = None
    """A point up to which the provider is asked to cache: "5m", "1h", or "" for its usual time."""


class Image(Struct, frozen=True, tag=True):
    source: Source
    detail: str | None = None
    cache: str | None = None


class File(Struct, frozen=True, tag=True):
    source: Source
    name: str | None = None
    context: str | None = None
    cited: bool = False
    """Whether citations of it are wanted."""
    cache: str | None = None


class Audio(Struct, frozen=True, tag=True):
    data: str
    """Base64."""
    format: str
    """wav, mp3, …"""


class Reasoning(Struct, frozen=True, tag=True):
    """What a model thought before it spoke; `redacted` where only the seal may be seen."""

    text: str = ""
    seal: Seal | None = None
    redacted: bool = False
    id: str | None = None


class Refusal(Struct, frozen=True, tag=True):
    text: str


class ToolUse(Struct, frozen=True, tag=True):
    """The model asks for a tool."""

    id: str
    name: str
    arguments: str
    """JSON text of an object; anything where the tool is `custom`. Empty means no arguments."""
    custom: bool = False
    seal: Seal | None = None
    cache: str | None = None


class ToolResult(Struct, frozen=True, tag=True):
    """What a tool answered: texts, images, files."""

    id: str
    content: tuple["Text | Image | File | Audio | Foreign", ...] = ()
    failed: bool = False
    name: str | None = None
    """Where the dialect says it; see `tool_names`."""
    cache: str | None = None


Block = Text | Image | File | Audio | Reasoning | Refusal | ToolUse | ToolResult | Foreign


class Turn(Struct, frozen=True, tag=True):
    """Who speaks, and what. Tool results have turns of their own ("tool"), all of one round in one turn."""

    role: Role
    blocks: tuple[Block, ...]
    name: str | None = None


class Tool(Struct, frozen=True, tag=True):
    """A function that the client runs. Without `schema` it takes no arguments."""

    name: str
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    cache: str | None = None


class CustomTool(Struct, frozen=True, tag=True):
    """A tool that takes free text, perhaps bound by a grammar (`format`, as OpenAI writes it)."""

    name: str
    description: str | None = None
    format: dict[str, Any] | None = None


AnyTool = Tool | CustomTool | Foreign


class ToolChoice(Struct, frozen=True, tag=True):
    """`named`: one of `names` must be used. With other modes `names` are the only tools allowed; none means all."""

    mode: Literal["auto", "none", "required", "named"]
    names: tuple[str, ...] = ()


class OutputFormat(Struct, frozen=True, tag=True):
    """`json`: some JSON object; `schema`: JSON that follows `schema`."""

    kind: Literal["json", "schema"]
    schema: dict[str, Any] | None = None
    name: str | None = None
    description: str | None = None
    strict: bool | None = None


class Thinking(Struct, frozen=True, tag=True):
    """How much the model is to reason."""

    effort: str | None = None
    """none, minimal, low, medium, high, xhigh, max."""
    budget: int | None = None
    """Tokens."""
    show: str | None = None
    """Whether and how the client wants to read it: auto, concise, detailed, omitted, …"""


class Sampling(Struct, frozen=True, tag=True, kw_only=True, omit_defaults=True):
    """How tokens are drawn. None where the client did not say."""

    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    logit_bias: dict[str, Any] | None = None
    n: int | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None

    def said(self) -> Iterator[tuple[str, Any]]:
        """Name and value of what the client did say."""
        return ((name, value) for name, value in asdict(self).items() if value is not None)


USUAL = Sampling()


class Conversation(Struct, frozen=True, kw_only=True, tag=True):
    """One request."""

    dialect: str
    """The client's."""
    model: str | None
    turns: tuple[Turn, ...]
    tools: tuple[AnyTool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    output: OutputFormat | None = None
    thinking: Thinking | None = None
    sampling: Sampling = USUAL
    verbosity: str | None = None
    stream: bool = False
    stream_usage: bool = True
    """Whether the client wants to see a stream's usage."""
    end_user: str | None = None
    tier: str | None = None
    own: dict[str, Any] = {}
    """Top-level fields that only the client's dialect knows, by name."""
    essential: tuple[str, ...] = ()
    """Paths of what only the client's dialect can do and must not be left out: whoever is another refuses."""
    hints: tuple[str, ...] = ()
    """Which of `own` may be left out even where terms are strict: the answer is the same without them."""
    unread: tuple[str, ...] = ()
    """Paths of other fields that nothing here has a place for, without positions: "messages.content.shape"."""
    words: Mapping[str, str] = {}
    """How the client's dialect calls what translators name ("max_tokens", "image.detail", …), where it differs."""


def tool_names(turns: tuple[Turn, ...]) -> dict[str, str]:
    """Names of the tools called so far, by the call's id: some dialects want a result's name as well."""
    return {block.id: block.name for turn in turns for block in turn.blocks if isinstance(block, ToolUse)}
