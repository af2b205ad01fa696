"""Amazon Bedrock's OpenAI-compatible endpoint (https://docs.aws.amazon.com/bedrock/latest/userguide/bedrock-mantle.html)."""

from tollkeeper.core.provider import HERE, Provider

PROVIDER = Provider(
    name="bedrock",
    # A region's: the config's base_url names another one.
    base_url="https://bedrock-mantle.us-east-1.api.aws/openai/v1",
    key_env="AWS_BEARER_TOKEN_BEDROCK",
    speaks={"openai_chat": HERE, "openai_responses": HERE},
    prices="aws",
    otel="aws.bedrock",
    docs="https://docs.aws.amazon.com/bedrock/latest/userguide/bedrock-mantle.html",
)
