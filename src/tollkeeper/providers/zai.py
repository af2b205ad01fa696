"""Z.AI (https://docs.z.ai/api-reference/introduction)."""

from tollkeeper.core.provider import Provider

PROVIDER = Provider(
    name="zai",
    base_url="https://api.z.ai/api/paas/v4",
    key_env="ZAI_API_KEY",
    # In the last chunk (https://docs.z.ai/guides/capabilities/streaming).
    stream_usage="always",
    models=("glm-",),
    prices="zai",
    docs="https://docs.z.ai/api-reference/introduction",
)
