"""Every dialect of embeddings that can be translated, by its name."""

from tollkeeper.core.embedding import Embedder
from tollkeeper.dialects import gemini_embed, ollama_embed, openai_embeddings

_ALL: tuple[Embedder, ...] = (openai_embeddings.EMBEDDER, gemini_embed.EMBEDDER, ollama_embed.EMBEDDER)
EMBEDDERS = {embedder.name: embedder for embedder in _ALL}
