"""Novita AI (https://novita.ai/docs/guides/llm-api)."""

from tollkeeper.core.provider import Provider

PROVIDER = Provider(
    name="novita",
    base_url="https://api.novita.ai/openai/v1",
    key_env="NOVITA_API_KEY",
    prices="novita",
    docs="https://novita.ai/docs/guides/llm-api",
)
