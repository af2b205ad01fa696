"""Mistral AI (https://docs.mistral.ai/api)."""

from tollkeeper.core.provider import Provider

PROVIDER = Provider(
    name="mistral",
    base_url="https://api.mistral.ai/v1",
    key_env="MISTRAL_API_KEY",
    # Answers 422 to stream_options (https://github.com/openai/openai-agents-python/issues/442).
    stream_usage="always",
    models=(
        "mistral-",
        "ministral-",
        "codestral-",
        "devstral-",
        "magistral-",
        "pixtral-",
        "voxtral-",
        "open-mistral-",
        "open-mixtral-",
    ),
    prices="mistral",
    otel="mistral_ai",
    docs="https://docs.mistral.ai/api",
)
