"""Ollama's generate: one prompt, one answer (https://docs.ollama.com/api/generate)."""
