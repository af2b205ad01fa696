"""Every dialect of embeddings that can be translated, by its name: a file that ends in `_embed` or `_embeddings` is one."""

from importlib import import_module
from pkgutil import iter_modules

import tollkeeper.dialects
from tollkeeper.core.embedding import Embedder


def _found() -> dict[str, Embedder]:
    embedders = {}
    for file in iter_modules(tollkeeper.dialects.__path__):
        if not file.name.endswith(("_embed", "_embeddings")):
            continue
        embedder: Embedder = import_module(f"tollkeeper.dialects.{file.name}").EMBEDDER
        if embedder.name != file.name:
            raise ValueError(f"dialects/{file.name}.py names its dialect {embedder.name!r}")
        embedders[embedder.name] = embedder
    return embedders


EMBEDDERS = _found()
