"""Anthropic (https://platform.claude.com/docs/en/api/overview)."""

from tollkeeper.core.provider import HERE, Provider

PROVIDER = Provider(
    name="anthropic",
    base_url="https://api.anthropic.com/v1",
    key_env="ANTHROPIC_API_KEY",
    auth="x-api-key",
    speaks={"anthropic_messages": HERE},
    models=("claude-",),
    batch="anthropic",
    prices="anthropic",
    otel="anthropic",
    docs="https://platform.claude.com/docs/en/api/overview",
)
