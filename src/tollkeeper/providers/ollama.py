"""Ollama on this machine (https://docs.ollama.com/api/openai-compatibility)."""

from tollkeeper.core.provider import Provider

PROVIDER = Provider(
    name="ollama",
    base_url="http://127.0.0.1:11434/v1",
    docs="https://docs.ollama.com/api/openai-compatibility",
)
