"""A provider: who sells model work and how to speak with it. Data, not code."""

from typing import Literal

from msgspec import Struct


class Provider(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of business. A provider's file sets what differs; the config may override each field."""

    name: str
    base_url: str
    """Where the paths of the OpenAI surface begin, with its version: https://api.openai.com/v1"""
    key_env: str | None = None
    """The environment variable that its own documentation names for the key; None where it needs none."""
    url_env: str | None = None
    """The environment variable that its own documentation names for a customer's own endpoint, without `url_path`."""
    url_path: str = ""
    """What follows such an endpoint: /openai"""
    auth: Literal["bearer", "api-key", "none"] = "bearer"
    paths: Literal["openai", "azure"] = "openai"
    """azure: /openai/deployments/{model}/… for calls that name a model, /openai/… for the others."""
    api_version: str | None = None
    """Sent as the query's api-version."""
    stream_usage: Literal["ask", "always", "never"] = "ask"
    """ask: reports a stream's usage if stream_options.include_usage is set; always: without being asked; never."""
    output_limit: tuple[str, ...] = ("max_tokens",)
    """The members of a chat request that limit its output here; the first one is the one to send."""
    batch: Literal["openai", "anthropic"] | None = None
    """Whose batch API it has, if any."""
    models: tuple[str, ...] = ()
    """Beginnings of model names that are this provider's own, so that a caller may leave out `provider/`."""
    prices: str | None = None
    """The provider's id in genai-prices."""
    otel: str | None = None
    """OpenTelemetry's gen_ai.provider.name; the name if None."""
    docs: str = ""
