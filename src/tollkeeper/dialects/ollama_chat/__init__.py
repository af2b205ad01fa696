"""Ollama's chat, whom Ollama's own clients speak (https://docs.ollama.com/api/chat)."""

from tollkeeper.dialects.ollama_chat.relaying import DIALECT, ENDPOINTS

__all__ = ["DIALECT", "ENDPOINTS"]
