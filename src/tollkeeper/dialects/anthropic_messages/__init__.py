"""Anthropic Messages, whom Claude's own clients speak and many others take (https://platform.claude.com/docs/en/api)."""

from tollkeeper.dialects.anthropic_messages.relaying import DIALECT, ENDPOINTS, OTHER

__all__ = ["DIALECT", "ENDPOINTS", "OTHER"]
