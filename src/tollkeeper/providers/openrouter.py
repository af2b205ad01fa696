"""OpenRouter (https://openrouter.ai/docs)."""

from tollkeeper.core.provider import Provider

PROVIDER = Provider(
    name="openrouter",
    base_url="https://openrouter.ai/api/v1",
    key_env="OPENROUTER_API_KEY",
    # stream_options has no effect (https://openrouter.ai/docs/use-cases/usage-accounting).
    stream_usage="always",
    output_limit=("max_tokens", "max_completion_tokens"),
    prices="openrouter",
    docs="https://openrouter.ai/docs",
)
