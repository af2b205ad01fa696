"""An answer in pieces, in the neutral form that every dialect's stream maps to.

The order of a stream: Start; then blocks, each from its …Start to its BlockEnd, several of them open at once if need be
(but reasoning ends before its choice's next block begins, so that its seal is known to be its own); for each choice one
Finish, after its blocks; UsageNoted anywhere, the last one counts; End. Ping anywhere. Failed ends a stream at once, in
the place of what was still to come.

Blocks have numbers of their own, given in the order in which they begin, unique in the stream whatever their choice.
"""

from typing import Literal

from msgspec import Struct

from tollkeeper.core.conversation import Citation, Seal, TokenLogprob
from tollkeeper.core.errors import TollkeeperError
from tollkeeper.core.usage import Reported

StopReason = Literal["end", "length", "stop_sequence", "tool", "refusal", "filter", "pause", "context", "compaction"]
"""end: the model was through; length: the client's bound; context: the model's own; tool: it waits for results; refusal:
the model would not; filter: the provider would not; pause: to be continued by sending the answer back."""


class Delta(Struct, frozen=True, tag=True, gc=False):
    """Any of the pieces below."""


class Start(Delta, frozen=True):
    id: str | None
    model: str | None
    created: int | None = None
    """Seconds since 1970."""
    usage: Reported | None = None
    """What is known at the beginning: the input."""


class TextStart(Delta, frozen=True):
    block: int
    choice: int = 0


class ReasoningStart(Delta, frozen=True):
    block: int
    choice: int = 0
    redacted: bool = False
    id: str | None = None


class RefusalStart(Delta, frozen=True):
    block: int
    choice: int = 0


class ToolStart(Delta, frozen=True):
    block: int
    id: str
    name: str
    choice: int = 0
    custom: bool = False
    seal: Seal | None = None


class TextDelta(Delta, frozen=True):
    """More of a text, of reasoning, of a refusal, or of a tool's arguments: the block's start says of what."""

    block: int
    text: str
    logprobs: tuple[TokenLogprob, ...] | None = None


class Sealed(Delta, frozen=True):
    """The seal of a reasoning block or a tool's call; the whole content of a redacted one."""

    block: int
    seal: Seal


class Cited(Delta, frozen=True):
    block: int
    citation: Citation


class BlockEnd(Delta, frozen=True):
    block: int


class ForeignPiece(Delta, frozen=True):
    """A whole block, or something beside the blocks, that only its dialect has words for."""

    dialect: str
    data: bytes
    choice: int = 0


class Finish(Delta, frozen=True):
    reason: StopReason
    sequence: str | None = None
    """The stop sequence that ended it."""
    choice: int = 0


class UsageNoted(Delta, frozen=True):
    reported: Reported
    tier: str | None = None


class Ping(Delta, frozen=True):
    pass


class Failure(Struct, frozen=True):
    """A provider's or the gate's complaint, in no dialect's words."""

    message: str
    status: int = 500
    type: str | None = None
    """As the one who complains calls it."""
    code: str | None = None
    param: str | None = None


class Failed(Delta, frozen=True):
    failure: Failure


class End(Delta, frozen=True):
    pass


PING = Ping()
END = End()


def failure_of(error: TollkeeperError) -> Failure:
    """One of our own errors in neutral form."""
    return Failure(error.message, error.status, error.type, error.code, error.param)
