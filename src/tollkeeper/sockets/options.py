"""The table [websocket]: what a socket's messages speak to, who may open one, and how much of it there may be."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from tollkeeper.core.limits import Positive, Seconds, SocketLimits

Format = Literal["text", "json"]


class ActionOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[websocket.actions.NAME]: an action of one's own. One of the two."""

    model: str | None = None
    api: str | None = None


class SocketOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[websocket]"""

    enabled: bool = True
    path: Annotated[str, Meta(pattern=r"^/[A-Za-z0-9._~/-]*[A-Za-z0-9_~-]$")] = "/ws"
    model: str | None = None
    """What `sendmessage` speaks to where a message names no other."""
    api: str | None = None
    """A published API in its place."""
    actions: dict[str, ActionOptions] = {}
    default: str | None = None
    """The action that a message with an unknown one or none is taken for; without it such a message is an error."""
    format: Format = "text"
    """How a client is answered that does not ask for a format."""
    end: str = ""
    """In the text format, the message that ends an answer; empty: none is sent."""
    memory: Annotated[int, Meta(ge=0)] = 0
    """Messages of a conversation that are sent along with the next; 0: each stands for itself."""
    memory_bytes: Positive = 64 * 1024
    """Of these messages together; the oldest are forgotten first."""
    origins: list[str] = []
    """Web pages that may open a socket, beside those of the gate's own host: "https://app.example.com"; "*": any."""
    ticket_seconds: Seconds = 30.0
    """How long a ticket can be used."""
    limits: SocketLimits = SocketLimits()
