"""One path of the gate, resolved: which dialect it speaks, which methods it has and what bodies it takes."""

from typing import Literal

from msgspec import Struct

from tollkeeper.core.ports import Dialect

Takes = Literal["json", "form", "either", "any"]
"""json: a JSON object; form: multipart; either; any: whatever the provider takes, passed on as it comes."""

Streams = Literal["if asked", "unless told", "always", "never"]
"""Whether the answer is a stream: the member `stream` says so; so it is without that member too; the path says so."""

POST = frozenset(("POST",))
ANY = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE"))


class Endpoint(Struct, frozen=True):
    """One path, resolved."""

    dialect: Dialect
    path: str
    """The path as the provider has it: without version, without a deployment in it."""
    takes: Takes
    methods: frozenset[str]
    metered: bool = True
    """Whether a request is charged for the usage that its answer reports. Looking at what is stored is not."""
    model: str | None = None
    """The model, where the path names it (`engines/{model}/…`, `deployments/{model}/…`)."""
    streams: Streams = "if asked"
