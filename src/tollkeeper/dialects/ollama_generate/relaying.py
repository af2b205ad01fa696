"""Ollama's generate passed on as it is, and overheard."""

from tollkeeper.dialects.ollama_chat.relaying import OllamaLines
from tollkeeper.dialects.ollama_generate.reading import DIALECT as NAME

DIALECT = OllamaLines(NAME, "system", "prompt", "suffix")
