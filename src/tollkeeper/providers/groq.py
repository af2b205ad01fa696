"""Groq (https://console.groq.com/docs/openai)."""

from tollkeeper.core.provider import HERE, UNCOUNTED, Provider

PROVIDER = Provider(
    name="groq",
    base_url="https://api.groq.com/openai/v1",
    key_env="GROQ_API_KEY",
    speaks={"openai_chat": HERE, "openai_responses": UNCOUNTED, "openai_embeddings": HERE},
    # Every stream ends with `x_groq.usage`, asked or not.
    stream_usage="always",
    # max_tokens is deprecated (https://github.com/groq/groq-python/pull/175).
    output_limit=("max_completion_tokens", "max_tokens"),
    batch="openai",
    prices="groq",
    otel="groq",
    docs="https://console.groq.com/docs/openai",
)
