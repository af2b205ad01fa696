"""DeepSeek (https://api-docs.deepseek.com)."""

from tollkeeper.core.provider import HERE, Provider, Surface

PROVIDER = Provider(
    name="deepseek",
    base_url="https://api.deepseek.com",
    key_env="DEEPSEEK_API_KEY",
    speaks={"openai_chat": HERE, "anthropic_messages": Surface("/anthropic/v1", "x-api-key", counts=False)},
    # Not "deepseek-": hosts of its open weights have names that begin with deepseek-ai/.
    models=("deepseek-chat", "deepseek-reasoner", "deepseek-v"),
    prices="deepseek",
    otel="deepseek",
    docs="https://api-docs.deepseek.com",
)
