"""LM Studio on this machine (https://lmstudio.ai/docs/developer/openai-compat)."""

from tollkeeper.core.provider import HERE, UNCOUNTED, Provider

PROVIDER = Provider(
    name="lmstudio",
    base_url="http://127.0.0.1:1234/v1",
    speaks={
        "openai_chat": HERE,
        "openai_responses": UNCOUNTED,
        "anthropic_messages": UNCOUNTED,
        "openai_embeddings": HERE,
    },
    docs="https://lmstudio.ai/docs/developer/openai-compat",
)
