"""The Responses API, OpenAI's newer dialect: items instead of messages, and a state that the provider may keep."""

from tollkeeper.dialects.openai_responses.relaying import DIALECT, ResponsesReader

__all__ = ["DIALECT", "ResponsesReader"]
