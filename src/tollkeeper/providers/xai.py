"""xAI (https://docs.x.ai/docs/api-reference)."""

from tollkeeper.core.provider import HERE, UNCOUNTED, Provider

PROVIDER = Provider(
    name="xai",
    base_url="https://api.x.ai/v1",
    key_env="XAI_API_KEY",
    speaks={"openai_chat": HERE, "openai_responses": UNCOUNTED, "openai_embeddings": HERE},
    sockets=("openai_responses",),  # https://docs.x.ai/developers/advanced-api-usage/websocket-mode
    # max_tokens is deprecated (https://docs.x.ai/docs/api-reference).
    output_limit=("max_completion_tokens", "max_tokens"),
    models=("grok-",),
    prices="x-ai",
    otel="x_ai",
    docs="https://docs.x.ai/docs/api-reference",
)
