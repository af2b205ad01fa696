"""LM Studio on this machine (https://lmstudio.ai/docs/developer/openai-compat)."""

from tollkeeper.core.provider import Provider

PROVIDER = Provider(
    name="lmstudio",
    base_url="http://127.0.0.1:1234/v1",
    docs="https://lmstudio.ai/docs/developer/openai-compat",
)
