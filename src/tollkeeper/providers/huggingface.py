"""Hugging Face Inference Providers (https://huggingface.co/docs/inference-providers)."""

from tollkeeper.core.provider import HERE, UNCOUNTED, Provider

PROVIDER = Provider(
    name="huggingface",
    base_url="https://router.huggingface.co/v1",
    # Its documentation names HF_TOKEN, which is set wherever models are downloaded: nobody means to sell inference
    # by that. A config names it: api_key = "env:HF_TOKEN".
    key_env=None,
    speaks={"openai_chat": HERE, "openai_responses": UNCOUNTED, "openai_embeddings": HERE},
    docs="https://huggingface.co/docs/inference-providers",
)
