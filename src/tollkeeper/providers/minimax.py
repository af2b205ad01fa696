"""MiniMax (https://platform.minimax.io/docs/api-reference/text-openai-api)."""

from tollkeeper.core.provider import HERE, Provider, Surface

PROVIDER = Provider(
    name="minimax",
    base_url="https://api.minimax.io/v1",
    key_env="MINIMAX_API_KEY",
    speaks={"openai_chat": HERE, "anthropic_messages": Surface("/../anthropic/v1", counts=False)},
    stream_usage="always",
    models=("MiniMax-M",),
    prices="minimax",
    docs="https://platform.minimax.io/docs/api-reference/text-openai-api",
)
