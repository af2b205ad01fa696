"""vLLM on this machine (https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html)."""

from tollkeeper.core.provider import HERE, UNCOUNTED, Provider

PROVIDER = Provider(
    name="vllm",
    base_url="http://127.0.0.1:8000/v1",
    speaks={
        "openai_chat": HERE,
        "openai_responses": UNCOUNTED,
        "anthropic_messages": UNCOUNTED,
        "openai_embeddings": HERE,
    },
    output_limit=("max_tokens", "max_completion_tokens"),
    docs="https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
)
