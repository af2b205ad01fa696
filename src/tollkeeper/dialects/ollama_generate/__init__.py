"""Ollama's generate: one prompt, one answer (https://docs.ollama.com/api/generate)."""

from tollkeeper.dialects.ollama_generate.relaying import DIALECT, ENDPOINTS

__all__ = ["DIALECT", "ENDPOINTS"]
