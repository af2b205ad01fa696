"""The model endpoints: a request becomes a call. Also the gate's probes and its list of models."""

from collections.abc import Awaitable, Callable
from functools import lru_cache
from urllib.parse import unquote

import msgspec

from tollkeeper.core.call import Call, Reply, Upload
from tollkeeper.core.errors import CallerError
from tollkeeper.core.keys import Key
from tollkeeper.core.limits import DoorLimits
from tollkeeper.core.ports import Handler, Keys
from tollkeeper.dialects import listings, openai_request
from tollkeeper.dialects.endpoint import Endpoint
from tollkeeper.dialects.paths import Listing, endpoint, listing
from tollkeeper.server import bodies
from tollkeeper.server.requests import (
    NOT_JSON,
    Request,
    call_of,
    check_framing,
    counted,
    json_body,
    key_of,
    kind_of,
    members_of,
    method_not_allowed,
    unsupported,
)

Health = Callable[[], str | None]
"""None when the gate can take calls, else why not."""
ListModels = Callable[[Key], Awaitable[list[dict[str, object]]]]

_JSON = [(b"content-type", b"application/json")]
_ALLOWED = frozenset(("GET", "POST", "PUT", "PATCH", "DELETE"))
_LISTINGS = ("models", "api/", "v1")
"""How paths begin that may ask about models."""
_RESERVED = frozenset(("", "favicon.ico", "robots.txt", ".well-known"))


class Gate:
    """What programs call."""

    def __init__(
        self,
        handle: Handler,
        keys: Keys,
        *,
        limits: DoorLimits,
        list_models: ListModels,
        health: Health,
    ) -> None:
        self.limits = limits
        self._handle = handle
        self._keys = keys
        self._list_models = list_models
        self._health = health

    async def answer(self, request: Request) -> Reply:
        """Answers whatever names no other place. Raises TollkeeperError."""
        method = request.method
        path = _path_of(request.path)
        if path in ("healthz", "readyz"):
            return self._probe(path)
        if path.partition("/")[0] in _RESERVED:
            raise CallerError(f"There is nothing at /{path[:64]}.", status=404, code="not_found")
        if method not in _ALLOWED:
            raise method_not_allowed(_ALLOWED)
        named = request.named
        asked_of = listing(path, named) if path.startswith(_LISTINGS) else None
        if asked_of is not None:
            return await self._listed(asked_of, request)
        found = endpoint(path, method)
        request.refusal = found.dialect.render_error
        key = key_of(named, self._keys, request.scope["query_string"] if found.model else b"")
        if method not in found.methods:
            raise method_not_allowed(found.methods)
        request.watch()
        call = call_of(request, key, found.dialect, found.path, metered=found.metered)
        if found.streams != "if asked":
            _stream(call, found)
        await self._read_body(call, found, request)
        return await self._handle(call)

    async def _read_body(self, call: Call, found: Endpoint, request: Request) -> None:
        kind = kind_of(request)
        check_framing(request)
        receive = request.receive
        is_form = kind.startswith("multipart/")
        length = request.named.get(b"content-length")
        if found.takes == "form" or (found.takes == "either" and is_form):
            if not is_form:
                raise unsupported(f"/v1/{call.path}", "multipart/form-data")
            size = bodies.declared(length, self.limits.body)
            content_type = request.named[b"content-type"].decode("latin-1")
            upload, model = await bodies.form(receive, self.limits.body, content_type, size)
            call.body, call.model = upload, found.model or model
        elif found.takes != "any":
            body = await json_body(request, self.limits, request.path.decode("ascii", "replace"))
            self._read_json(call, body, found.model)
        elif "json" in kind:
            bodies.declared(length, self.limits.json_body)
            body = await bodies.whole(receive, self.limits.json_body)
            if body:
                self._read_json(call, counted(body, self.limits.json_values), found.model)
        else:
            size = bodies.declared(length, self.limits.body)
            if size == 0 or (length is None and b"transfer-encoding" not in request.named):
                call.body = await bodies.whole(receive, 0)
            else:
                chunks = bodies.streamed(receive, self.limits.body)
                if not kind.startswith(NOT_JSON):
                    start, chunks = await bodies.begun(chunks)
                    if start.startswith(b"{"):  # a provider may read it as JSON, whatever it is said to be: so do we
                        body = await bodies.joined(chunks, self.limits.json_body)
                        self._read_json(call, counted(body, self.limits.json_values), found.model)
                        return
                call.body = Upload(chunks, size)
        if call.dialect.needs_model and not call.model:
            raise CallerError("You must provide a model parameter.", code="missing_required_parameter", param="model")

    @staticmethod
    def _read_json(call: Call, body: bytes, model: str | None) -> None:
        members = members_of(body)
        call.body = body
        call.members = members
        call.model = model or openai_request.string(members, "model")
        if call.model is not None and not call.model.isprintable():
            raise CallerError("The model's name has a control character in it.", code="invalid_value", param="model")
        if "stream" in members:
            call.streamed = openai_request.flag(members, "stream")

    async def _listed(self, asked: Listing, request: Request) -> Reply:
        request.refusal = asked.dialect.render_error
        key = key_of(request.named, self._keys, request.scope["query_string"])
        if request.method not in asked.methods:
            raise method_not_allowed(asked.methods)
        wanted = asked.one
        if asked.what == "show":
            body = await json_body(request, self.limits, "/api/show")
            members = members_of(body)
            wanted = openai_request.string(members, "model") or openai_request.string(members, "name") or ""
        listed = await self._list_models(key)
        if wanted is None:
            return Reply(200, list(_JSON), listings.rendered(asked, listed))
        for model in listed:
            if model["id"] == wanted:
                return Reply(200, list(_JSON), listings.rendered_one(asked, model))
        raise CallerError(
            f"The model '{wanted[:128]}' does not exist", status=404, code="model_not_found", param="model"
        )

    def _probe(self, path: str) -> Reply:
        trouble = self._health() if path == "readyz" else None
        status = {"status": "ok"} if trouble is None else {"status": "unavailable", "reason": trouble}
        return Reply(200 if trouble is None else 503, list(_JSON), msgspec.json.encode(status))


def _stream(call: Call, found: Endpoint) -> None:
    """Where not only the member `stream` says whether the answer is a stream."""
    call.streamed = found.streams != "never"
    if found.streams == "always" and b"alt=sse" not in call.query:
        call.framing = "array"


@lru_cache(1024)
def _path_of(raw: bytes) -> str:
    """The path below the version, still percent-encoded. Raises CallerError where it could climb out of its root."""
    path = raw.decode("ascii", "replace").lstrip("/")
    plain = unquote(path)
    *folders, last = plain.split("/")
    climbs = any(part in ("", ".", "..") for part in folders) or last in (".", "..")
    if climbs or "\\" in plain or not plain.isprintable():
        raise CallerError("The path is not one that this gate has.", status=404, code="not_found")
    if path.startswith("openai/"):
        path = path[7:]
    if path.startswith("v1/"):
        path = path[3:]
    return path.rstrip("/")
