"""MiniMax (https://platform.minimax.io/docs/api-reference/text-openai-api)."""

from tollkeeper.core.provider import Provider

PROVIDER = Provider(
    name="minimax",
    base_url="https://api.minimax.io/v1",
    key_env="MINIMAX_API_KEY",
    stream_usage="always",
    models=("MiniMax-M",),
    prices="minimax",
    docs="https://platform.minimax.io/docs/api-reference/text-openai-api",
)
