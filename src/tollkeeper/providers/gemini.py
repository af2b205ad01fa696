"""Google's Gemini API in OpenAI's dialect (https://ai.google.dev/gemini-api/docs/openai)."""

from tollkeeper.core.provider import Provider

PROVIDER = Provider(
    name="gemini",
    base_url="https://generativelanguage.googleapis.com/v1beta/openai",
    key_env="GEMINI_API_KEY",
    output_limit=("max_tokens", "max_completion_tokens"),
    models=("gemini-",),
    prices="google",
    otel="gcp.gemini",
    docs="https://ai.google.dev/gemini-api/docs/openai",
)
