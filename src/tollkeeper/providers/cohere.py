"""Cohere's Compatibility API (https://docs.cohere.com/docs/compatibility-api)."""

from tollkeeper.core.provider import Provider

PROVIDER = Provider(
    name="cohere",
    base_url="https://api.cohere.ai/compatibility/v1",
    key_env="COHERE_API_KEY",
    # Rejects stream_options (https://strandsagents.com/docs/user-guide/concepts/model-providers/cohere).
    stream_usage="never",
    models=("command-",),
    prices="cohere",
    otel="cohere",
    docs="https://docs.cohere.com/docs/compatibility-api",
)
