"""Perplexity's Agent API: OpenAI's Responses (https://docs.perplexity.ai/docs/agent-api/migrate-from-sonar/overview)."""

from tollkeeper.core.provider import UNCOUNTED, Provider

PROVIDER = Provider(
    name="perplexity",
    # Chat Completions (Sonar) ended on 2026-09-27. Its own model is called perplexity/sonar here too, so a caller
    # asks for perplexity/perplexity/sonar.
    base_url="https://api.perplexity.ai/v1",
    key_env="PERPLEXITY_API_KEY",
    speaks={"openai_responses": UNCOUNTED},
    stream_usage="always",
    prices="perplexity",
    otel="perplexity",
    docs="https://docs.perplexity.ai/docs/agent-api/migrate-from-sonar/overview",
)
