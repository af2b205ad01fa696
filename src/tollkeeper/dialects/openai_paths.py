"""Which dialect a path of the OpenAI surface speaks, which methods it has and what bodies it takes."""

from typing import Literal

from msgspec import Struct

from tollkeeper.core.ports import Dialect
from tollkeeper.dialects import openai_chat, openai_completions, openai_endpoints, openai_responses

Takes = Literal["json", "form", "either", "any"]
"""json: a JSON object; form: multipart; either; any: whatever the provider takes, passed on as it comes."""

Streams = Literal["if asked", "unless told", "always", "never"]
"""Whether the answer is a stream: the member `stream` says so; so it is without that member too; the path says so."""


class Endpoint(Struct, frozen=True):
    """One path, resolved."""

    dialect: Dialect
    path: str
    """The path as the provider has it: without version, without a deployment in it."""
    takes: Takes
    methods: frozenset[str]
    metered: bool = True
    """Whether a request is charged for the usage that its answer reports. Looking at what is stored is not."""
    model: str | None = None
    """The model, where the path names it (`engines/{model}/…`, `deployments/{model}/…`)."""
    streams: Streams = "if asked"


_POST = frozenset(("POST",))
ANY = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE"))
_JSON: dict[str, Dialect] = {
    "chat/completions": openai_chat.DIALECT,
    "completions": openai_completions.DIALECT,
    "embeddings": openai_endpoints.EMBEDDINGS,
    "moderations": openai_endpoints.MODERATIONS,
    "images/generations": openai_endpoints.IMAGES,
    "audio/speech": openai_endpoints.SPEECH,
}
_FORMS: dict[str, Dialect] = {
    "audio/transcriptions": openai_endpoints.TRANSCRIPTIONS,
    "audio/translations": openai_endpoints.TRANSCRIPTIONS,
    "images/edits": openai_endpoints.IMAGES,
    "images/variations": openai_endpoints.IMAGES,
}
_BELOW: dict[str, Dialect] = {
    "responses": openai_responses.DIALECT,
    "files": openai_endpoints.FILES,
    "batches": openai_endpoints.BATCHES,
}
_KNOWN: dict[tuple[str, str], Endpoint] = {
    **{(path, "POST"): Endpoint(dialect, path, "json", _POST) for path, dialect in _JSON.items()},
    **{
        (path, "POST"): Endpoint(dialect, path, "either" if path.startswith("images") else "form", _POST)
        for path, dialect in _FORMS.items()
    },
    ("responses", "POST"): Endpoint(openai_responses.DIALECT, "responses", "json", _POST),
}
_POST_ONLY = frozenset(_JSON) - {"chat/completions"} | frozenset(_FORMS)
"""GET chat/completions lists stored completions (https://platform.openai.com/docs/api-reference/chat/list)."""


def endpoint(path: str, method: str) -> Endpoint:
    """The endpoint of `path`, given without leading slash and version. `methods` may lack the method: that is a 405."""
    known = _KNOWN.get((path, method))
    if known is not None:
        return known
    first, _, rest = path.partition("/")
    if first in ("engines", "deployments") and "/" in rest:
        # openai-python 0.28 with engine=, and Azure's clients: /openai/deployments/{deployment}/chat/completions.
        model, _, below = rest.partition("/")
        inner = endpoint(below, method)
        return Endpoint(inner.dialect, inner.path, inner.takes, inner.methods, inner.metered, model)
    if path in _POST_ONLY:
        return Endpoint(_JSON.get(path) or _FORMS[path], path, "json", _POST)
    metered = method == "POST" and first not in ("files", "batches") and not path.endswith("/cancel")
    return Endpoint(_BELOW.get(first, openai_endpoints.OTHER), path, "any", ANY, metered)
