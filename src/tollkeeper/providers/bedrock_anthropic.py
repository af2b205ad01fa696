"""Claude on Amazon Bedrock (https://docs.aws.amazon.com/bedrock/latest/userguide/bedrock-mantle.html)."""

from tollkeeper.core.provider import UNCOUNTED, Provider

PROVIDER = Provider(
    name="bedrock-anthropic",
    base_url="https://bedrock-mantle.us-east-1.api.aws/anthropic/v1",
    speaks={"anthropic_messages": UNCOUNTED},
    family="anthropic",
    prices="aws",
    otel="aws.bedrock",
    docs="https://docs.aws.amazon.com/bedrock/latest/userguide/bedrock-mantle.html",
)
