"""vLLM on this machine (https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html)."""

from tollkeeper.core.provider import Provider

PROVIDER = Provider(
    name="vllm",
    base_url="http://127.0.0.1:8000/v1",
    docs="https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html",
)
