"""Cerebras (https://inference-docs.cerebras.ai/resources/openai)."""

from tollkeeper.core.provider import Provider

PROVIDER = Provider(
    name="cerebras",
    base_url="https://api.cerebras.ai/v1",
    key_env="CEREBRAS_API_KEY",
    prices="cerebras",
    docs="https://inference-docs.cerebras.ai/resources/openai",
)
