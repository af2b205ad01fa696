"""Which dialect a path of the OpenAI surface speaks, which methods it has and what bodies it takes."""

from tollkeeper.core.ports import Dialect
from tollkeeper.dialects import openai_chat, openai_completions, openai_endpoints, openai_responses
from tollkeeper.dialects.endpoint import ANY, POST, Endpoint

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
    **{(path, "POST"): Endpoint(dialect, path, "json", POST) for path, dialect in _JSON.items()},
    **{
        (path, "POST"): Endpoint(dialect, path, "either" if path.startswith("images") else "form", POST)
        for path, dialect in _FORMS.items()
    },
    ("responses", "POST"): Endpoint(openai_responses.DIALECT, "responses", "json", POST),
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
        return Endpoint(_JSON.get(path) or _FORMS[path], path, "json", POST)
    metered = method == "POST" and first not in ("files", "batches") and not path.endswith("/cancel")
    return Endpoint(_BELOW.get(first, openai_endpoints.OTHER), path, "any", ANY, metered)
