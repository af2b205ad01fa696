"""Ollama's chat, whom Ollama's own clients speak (https://docs.ollama.com/api/chat)."""
