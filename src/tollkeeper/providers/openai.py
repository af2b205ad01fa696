"""OpenAI (https://platform.openai.com/docs/api-reference)."""

from tollkeeper.core.provider import HERE, Provider

PROVIDER = Provider(
    name="openai",
    base_url="https://api.openai.com/v1",
    key_env="OPENAI_API_KEY",
    speaks={"openai_chat": HERE, "openai_responses": HERE, "openai_embeddings": HERE},
    sockets=("openai_responses",),  # https://platform.openai.com/docs/guides/websocket-mode
    # max_tokens is deprecated, and o1 and its successors refuse it (chat/create, max_tokens).
    output_limit=("max_completion_tokens", "max_tokens"),
    batch="openai",
    models=(
        "gpt-",
        "chatgpt-",
        "o1",
        "o3",
        "o4",
        "text-embedding-",
        "text-moderation-",
        "omni-moderation-",
        "dall-e-",
        "whisper-",
        "tts-",
        "sora-",
        "codex-",
        "computer-use-",
        "davinci-",
        "babbage-",
        "ft:",
    ),
    prices="openai",
    otel="openai",
    docs="https://platform.openai.com/docs/api-reference",
)
