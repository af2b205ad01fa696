"""Fireworks AI (https://docs.fireworks.ai/tools-sdks/openai-compatibility)."""

from tollkeeper.core.provider import HERE, UNCOUNTED, Provider

PROVIDER = Provider(
    name="fireworks",
    base_url="https://api.fireworks.ai/inference/v1",
    key_env="FIREWORKS_API_KEY",
    speaks={"openai_chat": HERE, "openai_responses": UNCOUNTED, "openai_embeddings": HERE},
    # In the chunk with the finish reason, as its page says.
    stream_usage="always",
    models=("accounts/fireworks/",),
    prices="fireworks",
    docs="https://docs.fireworks.ai/tools-sdks/openai-compatibility",
)
