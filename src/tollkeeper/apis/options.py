"""[apis.NAME] and [outside.NAME]: the fields of published APIs and of those that they call, and their bounds."""

from decimal import Decimal
from typing import Annotated, Any

from msgspec import Meta, Struct

from tollkeeper.core.account import Patience
from tollkeeper.core.limits import Positive, Seconds
from tollkeeper.core.money import Price


class ApiOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[apis.NAME]: a declared API has a model and perhaps templates; one in Python has a function."""

    path: Annotated[str, Meta(pattern=r"^/[A-Za-z0-9._~/-]*[A-Za-z0-9_~-]$", max_length=256)] | None = None
    """Where it is published; /NAME where nothing is said."""
    description: str = ""
    """What it is for: shown to those who may call it."""
    model: str | None = None
    """Which model answers where the request names none."""
    system: str | None = None
    """Template of the instructions that go before everything else."""
    prompt: str | None = None
    """Template of what the model is asked."""
    answer: str | None = None
    """Template of the answer."""
    input: dict[str, Any] | str | None = None
    """The request's fields: names and types, a JSON Schema, or a file that has one."""
    output: dict[str, Any] | str | None = None
    """The JSON Schema that the model's answer must follow, or a file that has one."""
    parameters: dict[str, Any] = {}
    """What else the model is given where the request does not say: temperature, max_tokens, …"""
    example: dict[str, Any] | None = None
    """A request's body, for its description."""
    function: Annotated[str, Meta(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")] | None = None
    """`module:name` of a Python function that answers."""
    timeout: Seconds = 300.0
    """How long a function may take for a whole answer, or between two pieces of a streamed one."""
    threads: Positive = 16
    """How many calls of a function that is not `async` may be under way; others wait for their turn."""


class OutsideOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[outside.NAME]: another HTTP API, for functions to call."""

    base_url: str
    """Where its paths begin."""
    api_key: str | None = None
    """Sent as bearer token."""
    headers: dict[str, str] = {}
    """Sent with every call."""
    query: dict[str, str] = {}
    """Added to every call's query."""
    timeouts: Patience = Patience(connect=5, first_byte=30, idle=30, total=60)
    retries: Annotated[int, Meta(ge=0, le=10)] = 2
    """After the first try, of calls that do no harm twice and failed in passing."""
    price: Decimal | None = None
    """USD for each call that is answered well."""
    max_bytes: Positive = 16 * 1024 * 1024
    """Of an answer."""


class OutsideAccount(Struct, frozen=True, kw_only=True):
    """One outside API as this gate uses it."""

    name: str
    base_url: str
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """Sent with every call, credentials among them."""
    query: tuple[tuple[str, str], ...] = ()
    timeouts: Patience = Patience(connect=5, first_byte=30, idle=30, total=60)
    retries: int = 2
    price: Price | None = None
    max_bytes: int = 16 * 1024 * 1024

    def __repr__(self) -> str:
        return f"OutsideAccount({self.name!r})"
