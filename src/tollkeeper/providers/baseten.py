"""Baseten Model APIs (https://docs.baseten.co/inference/model-apis/overview)."""

from tollkeeper.core.provider import Provider

PROVIDER = Provider(
    name="baseten",
    base_url="https://inference.baseten.co/v1",
    key_env="BASETEN_API_KEY",
    prices="baseten",
    docs="https://docs.baseten.co/inference/model-apis/overview",
)
