"""Z.AI (https://docs.z.ai/api-reference/introduction)."""

from tollkeeper.core.provider import HERE, Provider, Surface

PROVIDER = Provider(
    name="zai",
    base_url="https://api.z.ai/api/paas/v4",
    key_env="ZAI_API_KEY",
    speaks={
        "openai_chat": HERE,
        "openai_embeddings": HERE,
        "anthropic_messages": Surface("/../../anthropic/v1", counts=False),
    },
    # In the last chunk (https://docs.z.ai/guides/capabilities/streaming).
    stream_usage="always",
    models=("glm-",),
    prices="zai",
    docs="https://docs.z.ai/api-reference/introduction",
)
