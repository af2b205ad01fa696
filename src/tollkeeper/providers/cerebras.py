"""Cerebras (https://inference-docs.cerebras.ai/resources/openai)."""

from tollkeeper.core.provider import Provider

PROVIDER = Provider(
    name="cerebras",
    base_url="https://api.cerebras.ai/v1",
    key_env="CEREBRAS_API_KEY",
    # max_tokens is the older name (https://inference-docs.cerebras.ai/api-reference/chat-completions).
    output_limit=("max_completion_tokens", "max_tokens"),
    prices="cerebras",
    docs="https://inference-docs.cerebras.ai/resources/openai",
)
