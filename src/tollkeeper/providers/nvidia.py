"""NVIDIA NIM (https://docs.api.nvidia.com/nim/reference/llm-apis)."""

from tollkeeper.core.provider import Provider

PROVIDER = Provider(
    name="nvidia",
    base_url="https://integrate.api.nvidia.com/v1",
    key_env="NVIDIA_API_KEY",
    docs="https://docs.api.nvidia.com/nim/reference/llm-apis",
)
