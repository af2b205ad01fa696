"""A provider: who sells model work and how to speak with it. Data, not code."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

from msgspec import Struct, field

Auth = Literal["bearer", "api-key", "x-api-key", "x-goog-api-key", "none"]
"""How a key is carried: as a bearer token, or in a header of this name."""


class Surface(Struct, frozen=True, forbid_unknown_fields=True):
    """Where and how a provider speaks one dialect."""

    at: str = ""
    """What comes after `base_url`: "/anthropic/v1". Each "/.." takes a part of it away."""
    auth: Auth | None = None
    """Where it differs from the provider's."""
    counts: bool = True
    """Whether the dialect's own endpoint for counting tokens is there."""


HERE = Surface()
UNCOUNTED = Surface(counts=False)
_USUAL = {"openai_chat": HERE, "openai_embeddings": HERE}


class Provider(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of business. A provider's file sets what differs; the config may override each field."""

    name: str
    base_url: str
    """Where its paths begin, with their version: https://api.openai.com/v1"""
    speaks: Mapping[str, Surface] = field(default_factory=lambda: dict(_USUAL))
    """Dialects, the one to translate to first. OpenAI's other endpoints are where the first of OpenAI's dialects is."""
    key_env: str | None = None
    """The environment variable that its own documentation names for the key; None where it needs none."""
    url_env: str | None = None
    """The environment variable that its own documentation names for a customer's own endpoint, without `url_path`."""
    url_path: str = ""
    """What follows such an endpoint: /openai"""
    auth: Auth = "bearer"
    paths: Literal["openai", "azure", "none"] = "openai"
    """azure: /openai/deployments/{model}/… for calls that name a model, /openai/… for the others;
    none: `base_url` is the whole URL."""
    api_version: str | None = None
    """Sent as the query's api-version."""
    stream_usage: Literal["ask", "always", "never"] = "ask"
    """ask: reports a stream's usage if stream_options.include_usage is set; always: without being asked; never."""
    output_limit: tuple[str, ...] = ("max_tokens",)
    """The members of a chat request that limit its output here; the first one is the one to send."""
    sockets: tuple[str, ...] = ()
    """Those of its dialects that it also speaks over a WebSocket, at the same path."""
    batch: Literal["openai", "anthropic"] | None = None
    """Whose batch API it has, if any."""
    models: tuple[str, ...] = ()
    """Beginnings of model names that are this provider's own, so that a caller may leave out `provider/`."""
    prices: str | None = None
    """The provider's id in genai-prices."""
    otel: str | None = None
    """OpenTelemetry's gen_ai.provider.name; the name if None."""
    family: str | None = None
    """Who can read signatures over reasoning that come from here; the name if None. Clouds that sell another's models
    name the other."""
    replays_reasoning: bool = False
    """openai_chat: wants its own reasoning_content back in the history."""
    docs: str = ""

    def surface(self, dialect: str, *, translated: bool) -> Surface | None:
        """Where `dialect` is spoken. An endpoint that is no dialect to translate is where others of its family are."""
        found = self.speaks.get(dialect)
        if found is None and not translated:
            family = dialect.partition("_")[0]
            return next((surface for name, surface in self.speaks.items() if name.partition("_")[0] == family), None)
        return found

    def root(self, surface: Surface) -> str:
        """The URL before the surface's paths."""
        return _root(self.base_url, surface.at)


@lru_cache(1024)
def _root(base_url: str, at: str) -> str:
    while at.startswith("/.."):
        base_url, at = base_url.rpartition("/")[0], at[3:]
    return base_url + at
