"""OpenRouter (https://openrouter.ai/docs)."""

from tollkeeper.core.provider import HERE, UNCOUNTED, Provider

PROVIDER = Provider(
    name="openrouter",
    base_url="https://openrouter.ai/api/v1",
    key_env="OPENROUTER_API_KEY",
    speaks={
        "openai_chat": HERE,
        "openai_responses": UNCOUNTED,
        "anthropic_messages": UNCOUNTED,
        "openai_embeddings": HERE,
    },
    # stream_options has no effect (https://openrouter.ai/docs/use-cases/usage-accounting).
    stream_usage="always",
    output_limit=("max_tokens", "max_completion_tokens"),
    prices="openrouter",
    docs="https://openrouter.ai/docs",
)
