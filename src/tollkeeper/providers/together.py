"""Together AI (https://docs.together.ai/docs/openai-api-compatibility)."""

from tollkeeper.core.provider import Provider

PROVIDER = Provider(
    name="together",
    base_url="https://api.together.ai/v1",
    key_env="TOGETHER_API_KEY",
    prices="together",
    docs="https://docs.together.ai/docs/openai-api-compatibility",
)
