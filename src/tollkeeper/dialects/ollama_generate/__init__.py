"""Ollama's generate: one prompt, one answer (https://docs.ollama.com/api/generate)."""

from tollkeeper.dialects.ollama_generate.relaying import DIALECT

__all__ = ["DIALECT"]
