"""Google's Gemini API, in its own dialect and in OpenAI's (https://ai.google.dev/gemini-api/docs/openai)."""

from tollkeeper.core.provider import HERE, Provider, Surface

_NATIVE = Surface("/..", "x-goog-api-key")

PROVIDER = Provider(
    name="gemini",
    base_url="https://generativelanguage.googleapis.com/v1beta/openai",
    key_env="GEMINI_API_KEY",
    speaks={
        "gemini_generate": _NATIVE,
        "gemini_embed": _NATIVE,
        "openai_chat": HERE,
        "openai_embeddings": HERE,
    },
    output_limit=("max_tokens", "max_completion_tokens"),
    models=("gemini-",),
    prices="google",
    otel="gcp.gemini",
    docs="https://ai.google.dev/gemini-api/docs/openai",
)
