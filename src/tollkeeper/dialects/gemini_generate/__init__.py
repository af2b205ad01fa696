"""Gemini's generateContent, whom Google's own clients speak (https://ai.google.dev/api/generate-content)."""

from tollkeeper.dialects.gemini_generate.relaying import DIALECT

__all__ = ["DIALECT"]
