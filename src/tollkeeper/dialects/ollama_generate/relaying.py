"""Ollama's generate passed on as it is, and overheard."""

from tollkeeper.dialects.endpoint import POST, Endpoint
from tollkeeper.dialects.ollama_chat.relaying import OllamaLines
from tollkeeper.dialects.ollama_generate.reading import DIALECT as NAME

DIALECT = OllamaLines(NAME, "system", "prompt", "suffix")
ENDPOINTS = {"api/generate": Endpoint(DIALECT, "api/generate", "json", POST, streams="unless told")}
"""Where clients find it at the gate."""
