"""Vertex AI's OpenAI-compatible endpoint (https://cloud.google.com/vertex-ai/generative-ai/docs/start/openai)."""

from tollkeeper.core.provider import HERE, Provider

PROVIDER = Provider(
    name="vertex",
    # A project's and a region's: the config's base_url names it.
    base_url="",
    speaks={"openai_chat": HERE},
    output_limit=("max_tokens", "max_completion_tokens"),
    family="gemini",
    prices="google",
    otel="gcp.vertex_ai",
    docs="https://cloud.google.com/vertex-ai/generative-ai/docs/start/openai",
)
