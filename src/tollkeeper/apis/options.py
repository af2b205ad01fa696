"""[apis.NAME]: the fields of a published API, and their bounds."""

from typing import Annotated, Any

from msgspec import Meta, Struct

from tollkeeper.core.limits import Positive, Seconds


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
