"""llama.cpp's server on this machine (https://github.com/ggml-org/llama.cpp/tree/master/tools/server)."""

from tollkeeper.core.provider import HERE, UNCOUNTED, Provider

PROVIDER = Provider(
    name="llamacpp",
    base_url="http://127.0.0.1:8080/v1",
    speaks={"openai_chat": HERE, "openai_responses": UNCOUNTED, "anthropic_messages": HERE, "openai_embeddings": HERE},
    output_limit=("max_tokens", "max_completion_tokens"),
    docs="https://github.com/ggml-org/llama.cpp/tree/master/tools/server",
)
