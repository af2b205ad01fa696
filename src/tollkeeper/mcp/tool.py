"""What a tool is to a chat client: its name, what it takes and gives, what it may change, and how it is run."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from msgspec import Struct

Arguments = dict[str, Any]


class Refused(Exception):
    """The tool did not do it, for a reason that its caller can act on: shown word for word to the model."""


class Withheld(Exception):
    """A tool that is there, but not for what its caller has shown: with more, it would be."""


class Tool(Struct, frozen=True, kw_only=True):
    """One tool, bound to whoever called for it."""

    name: str
    title: str
    description: str
    takes: Mapping[str, Any]
    """JSON Schema of the arguments; an object."""
    gives: Mapping[str, Any] | None = None
    """JSON Schema of the result; an object, as revisions before 2026-07-28 know no others."""
    run: Callable[[Arguments], Awaitable[Any]]
    """Raises Refused. What it returns is JSON; text where `gives` is None and it is a str."""
    checks_arguments: bool = False
    """Whether `run` looks at the arguments itself: what somebody else's schema says is not made into code."""
    reads: bool = False
    """Changes nothing."""
    destroys: bool = False
    """What it changes may be lost."""
    repeatable: bool = False
    """Doing it twice is doing it once."""
    reaches_out: bool = False
    """Others than the gate have a part in it."""

    def described(self) -> dict[str, Any]:
        """As `tools/list` shows it (https://modelcontextprotocol.io/specification, server/tools)."""
        told: dict[str, Any] = {
            "name": self.name,
            "title": self.title,
            "description": self.description,
            "inputSchema": self.takes,
            "annotations": {
                "title": self.title,
                "readOnlyHint": self.reads,
                "destructiveHint": self.destroys,
                "idempotentHint": self.repeatable or self.reads,
                "openWorldHint": self.reaches_out,
            },
        }
        if self.gives is not None:
            told["outputSchema"] = self.gives
        return told
