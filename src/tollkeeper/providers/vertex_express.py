"""Vertex AI with an API key (https://cloud.google.com/vertex-ai/generative-ai/docs/start/express-mode/overview)."""

from tollkeeper.core.provider import HERE, Provider

PROVIDER = Provider(
    name="vertex-express",
    base_url="https://aiplatform.googleapis.com/v1/publishers/google",
    auth="x-goog-api-key",
    speaks={"gemini_generate": HERE},
    family="gemini",
    prices="google",
    otel="gcp.vertex_ai",
    docs="https://cloud.google.com/vertex-ai/generative-ai/docs/start/express-mode/overview",
)
