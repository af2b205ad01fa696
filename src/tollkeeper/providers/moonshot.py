"""Moonshot AI (https://platform.moonshot.ai/docs/api/chat)."""

from tollkeeper.core.provider import HERE, Provider, Surface

PROVIDER = Provider(
    name="moonshot",
    base_url="https://api.moonshot.ai/v1",
    key_env="MOONSHOT_API_KEY",
    speaks={
        "openai_chat": HERE,
        "openai_embeddings": HERE,
        "anthropic_messages": Surface("/../anthropic/v1", counts=False),
    },
    # max_tokens is deprecated (https://platform.moonshot.ai/docs/api/chat).
    output_limit=("max_completion_tokens", "max_tokens"),
    models=("kimi-", "moonshot-v1-"),
    prices="moonshotai",
    otel="moonshot_ai",
    docs="https://platform.moonshot.ai/docs/api/chat",
)
