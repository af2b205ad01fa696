"""Which dialect a path of the gate speaks: OpenAI's paths, Anthropic's, Gemini's and Ollama's."""

import re
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from types import ModuleType
from urllib.parse import unquote

from tollkeeper.core.ports import Dialect
from tollkeeper.dialects import (
    anthropic_messages,
    embedding_endpoints,
    gemini_generate,
    ollama_chat,
    openai_chat,
    openai_paths,
    token_counts,
)
from tollkeeper.dialects.embedders import EMBEDDERS
from tollkeeper.dialects.endpoint import ANY, POST, Endpoint, Streams
from tollkeeper.dialects.translators import TRANSLATORS

_GET = frozenset(("GET",))
_GEMINI = re.compile(r"(?:v1beta/|v1alpha/)?((?:publishers/google/)?(?:models|tunedModels)/(.+)):(\w+)\Z")
_GEMINI_LIST = re.compile(r"v1(?:beta|alpha)/models(?:/(.+))?\Z")
_ANTHROPIC_BELOW = "messages/"
_ANTHROPIC_BATCHES = "messages/batches"
_FOLDERS: tuple[ModuleType, ...] = tuple(import_module(f"tollkeeper.dialects.{name}") for name in TRANSLATORS)
"""Of dialects: being there is being known."""

RELAYED: dict[str, Dialect] = {
    **{folder.DIALECT.name: folder.DIALECT for folder in _FOLDERS},
    **embedding_endpoints.ENDPOINTS,
}
"""By name: what a request is in each dialect that can be translated, once it is written in it."""

_KNOWN: dict[str, Endpoint] = {
    **{path: found for folder in _FOLDERS for path, found in getattr(folder, "ENDPOINTS", {}).items()},
    **{path: Endpoint(RELAYED[each.name], path, "json", POST) for each in EMBEDDERS.values() for path in each.paths},
    "messages/count_tokens": Endpoint(token_counts.ANTHROPIC, "messages/count_tokens", "json", POST, metered=False),
    "responses/input_tokens": Endpoint(token_counts.RESPONSES, "responses/input_tokens", "json", POST, metered=False),
}
"""Paths that are written out whole; those of OpenAI's own dialects are in `openai_paths`."""
_METHODS: dict[str, tuple[Dialect, bool]] = {
    "generateContent": (gemini_generate.DIALECT, True),
    "streamGenerateContent": (gemini_generate.DIALECT, True),
    "countTokens": (token_counts.GEMINI, False),
    "embedContent": (RELAYED["gemini_embed"], True),
    "batchEmbedContents": (RELAYED["gemini_embed"], True),
}
_OLLAMA = {
    "api/tags": ("list", _GET),
    "api/ps": ("running", _GET),
    "api/version": ("version", _GET),
    "api/show": ("show", POST),
}


@lru_cache(1024)
def endpoint(path: str, method: str) -> Endpoint:
    """The endpoint of `path`, given without leading slash and without "v1/"."""
    known = _KNOWN.get(path)
    if known is not None:
        return known
    if path.startswith(_ANTHROPIC_BELOW):
        metered = method == "POST" and not path.startswith(_ANTHROPIC_BATCHES)
        return Endpoint(anthropic_messages.OTHER, path, "any", ANY, metered)
    named = _GEMINI.match(path) if ":" in path else None
    if named is not None and named[3] in _METHODS and method == "POST":
        dialect, metered = _METHODS[named[3]]
        streams: Streams = "always" if named[3] == "streamGenerateContent" else "never"
        # What the provider gets has its own model in the place of the braces.
        return Endpoint(
            dialect, f"models/{{model}}:{named[3]}", "json", POST, metered, unquote(named[2]), streams=streams
        )
    return openai_paths.endpoint(path, method)


class Listing:
    """A question about the models that there are, or about the gate as a server of them."""

    __slots__ = ("dialect", "methods", "one", "what")

    def __init__(self, dialect: Dialect, what: str, one: str | None, methods: frozenset[str] = _GET) -> None:
        self.dialect = dialect
        """Whose form the answer has."""
        self.what = what
        """list; of Ollama also: running, version, show."""
        self.one = one
        """The model that is asked for; None: all."""
        self.methods = methods


def listing(path: str, headers: Mapping[bytes, bytes]) -> Listing | None:
    """What `path` (as for `endpoint`) asks about models; None where it is about something else."""
    if path.startswith("api/"):
        found = _OLLAMA.get(path)
        return None if found is None else Listing(ollama_chat.DIALECT, found[0], None, found[1])
    if path.startswith("v1"):
        match = _GEMINI_LIST.match(path)
        if match is None or _has_method(path):
            return None
        return Listing(gemini_generate.DIALECT, "list", None if match[1] is None else unquote(match[1]))
    if path != "models" and not path.startswith("models/"):
        return None
    if _has_method(path):
        return None
    dialect: Dialect = openai_chat.DIALECT
    if b"anthropic-version" in headers:
        dialect = anthropic_messages.DIALECT
    elif b"x-goog-api-key" in headers:
        dialect = gemini_generate.DIALECT
    return Listing(dialect, "list", unquote(path[7:]) or None)


def _has_method(path: str) -> bool:
    return path.rpartition(":")[2] in _METHODS
