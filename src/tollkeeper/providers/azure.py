"""Azure OpenAI (https://learn.microsoft.com/azure/ai-services/openai/reference)."""

from tollkeeper.core.provider import HERE, Provider

PROVIDER = Provider(
    name="azure",
    base_url="",
    url_env="AZURE_OPENAI_ENDPOINT",
    url_path="/openai",
    key_env="AZURE_OPENAI_API_KEY",
    auth="api-key",
    paths="azure",
    api_version="2024-10-21",
    speaks={"openai_chat": HERE, "openai_responses": HERE, "openai_embeddings": HERE},
    # As with OpenAI: reasoning models take max_completion_tokens only.
    output_limit=("max_completion_tokens", "max_tokens"),
    batch="openai",
    prices="azure",
    otel="azure.ai.openai",
    docs="https://learn.microsoft.com/azure/ai-services/openai/reference",
)
