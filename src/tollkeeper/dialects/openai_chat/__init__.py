"""Chat Completions, the dialect that most clients and most providers speak."""

from tollkeeper.dialects.openai_chat.relaying import DIALECT

__all__ = ["DIALECT"]
