"""DeepInfra (https://docs.deepinfra.com/chat/overview)."""

from tollkeeper.core.provider import Provider

PROVIDER = Provider(
    name="deepinfra",
    base_url="https://api.deepinfra.com/v1/openai",
    key_env="DEEPINFRA_TOKEN",
    docs="https://docs.deepinfra.com/chat/overview",
)
