"""Alibaba Cloud Model Studio, international (https://www.alibabacloud.com/help/en/model-studio/compatibility-of-openai-with-dashscope)."""

from tollkeeper.core.provider import Provider

PROVIDER = Provider(
    name="dashscope",
    # Keys belong to a region; Beijing's base URL is https://dashscope.aliyuncs.com/compatible-mode/v1.
    base_url="https://dashscope-intl.aliyuncs.com/compatible-mode/v1",
    key_env="DASHSCOPE_API_KEY",
    models=("qwen-max", "qwen-plus", "qwen-turbo", "qwen-flash", "qwen-long", "qwen3-max"),
    batch="openai",
    docs="https://www.alibabacloud.com/help/en/model-studio/compatibility-of-openai-with-dashscope",
)
