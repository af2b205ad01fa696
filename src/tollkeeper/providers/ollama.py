"""Ollama on this machine, in OpenAI's dialects and in its own (https://docs.ollama.com/api/openai-compatibility)."""

from tollkeeper.core.provider import HERE, UNCOUNTED, Provider, Surface

_NATIVE = Surface("/..")

PROVIDER = Provider(
    name="ollama",
    base_url="http://127.0.0.1:11434/v1",
    speaks={
        "openai_chat": HERE,
        "openai_responses": UNCOUNTED,
        "anthropic_messages": UNCOUNTED,
        "openai_embeddings": HERE,
        "ollama_chat": _NATIVE,
        "ollama_generate": _NATIVE,
        "ollama_embed": _NATIVE,
    },
    docs="https://docs.ollama.com/api/openai-compatibility",
)
