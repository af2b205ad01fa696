"""SambaNova (https://docs.sambanova.ai/docs/en/features/openai-compatibility)."""

from tollkeeper.core.provider import Provider

PROVIDER = Provider(
    name="sambanova",
    base_url="https://api.sambanova.ai/v1",
    key_env="SAMBANOVA_API_KEY",
    docs="https://docs.sambanova.ai/docs/en/features/openai-compatibility",
)
