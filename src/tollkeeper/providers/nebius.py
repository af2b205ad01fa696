"""Nebius Token Factory (https://docs.tokenfactory.nebius.com)."""

from tollkeeper.core.provider import Provider

PROVIDER = Provider(
    name="nebius",
    base_url="https://api.tokenfactory.nebius.com/v1",
    key_env="NEBIUS_API_KEY",
    batch="openai",
    docs="https://docs.tokenfactory.nebius.com",
)
