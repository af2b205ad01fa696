"""Answers MCP's requests over HTTP, of both eras, from nothing but the request and the tools that its caller may use.

One POST is one request and one JSON answer: no session, no stream, so any gate behind a load balancer may answer any of
them. Whoever it is that calls has been made sure of before.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from tollkeeper.mcp import revisions
from tollkeeper.mcp.arguments import check
from tollkeeper.mcp.errors import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE_ERROR,
    RpcError,
)
from tollkeeper.mcp.tool import Refused, Tool, Withheld

_JSON = (b"content-type", b"application/json")
_MOST_BATCHED = 20


class Server(Struct, frozen=True, kw_only=True):
    """How a server presents itself."""

    name: str
    version: str
    title: str
    instructions: str
    """What a model should know before it uses the tools."""


class Told(Struct, frozen=True):
    """An HTTP answer."""

    status: int
    body: bytes = b""
    headers: tuple[tuple[bytes, bytes], ...] = ()


async def serve(
    server: Server,
    method: str,
    headers: Mapping[bytes, bytes],
    body: bytes,
    tools: Sequence[Tool],
    on_error: Callable[[str, Exception], None],
    withheld: Collection[str] = (),
) -> Told:
    """The answer to one HTTP request; header names in lower case. `on_error` hears of a tool that broke: (name, error).

    Raises Withheld where one of the tools that are named so is called.
    """
    if method != "POST":
        return Told(405, headers=((b"allow", b"POST"),))
    try:
        message = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        return _failed(None, RpcError(PARSE_ERROR, "The body is not JSON."), False)
    caller = _Caller(server, {tool.name: tool for tool in tools}, on_error, withheld)
    if isinstance(message, list):  # only 2025-03-26 has batches
        return await _batch(caller, headers, message)
    modern = isinstance(message, dict) and revisions.is_modern(headers, message)
    return await _single(caller, headers, message, modern)


async def _batch(caller: "_Caller", headers: Mapping[bytes, bytes], messages: list[Any]) -> Told:
    if not 0 < len(messages) <= _MOST_BATCHED:
        return _failed(None, RpcError(INVALID_REQUEST, f"A batch has 1 to {_MOST_BATCHED} requests."), False)
    answers = [(await _single(caller, headers, message, False)).body for message in messages]
    joined = b",".join(answer for answer in answers if answer)
    return Told(200, b"[%b]" % joined, (_JSON,)) if joined else Told(202)


async def _single(caller: "_Caller", headers: Mapping[bytes, bytes], message: Any, modern: bool) -> Told:
    valid = isinstance(message, dict) and message.get("jsonrpc") == "2.0" and isinstance(message.get("method"), str)
    id = message.get("id") if isinstance(message, dict) else None
    if not valid or isinstance(id, bool) or not isinstance(id, (str, int, type(None))):
        if isinstance(message, dict) and "method" not in message and ("result" in message or "error" in message):
            return Told(202)  # an answer to what was never asked: the older era allows it to be sent
        return _failed(None, RpcError(INVALID_REQUEST, "This is not one JSON-RPC 2.0 request."), modern)
    try:
        if id is None:
            if "id" in message:
                raise RpcError(INVALID_REQUEST, "A request's id is a text or a whole number.")
            if modern:
                revisions.check_version(headers.get(revisions.VERSION_HEADER, b"").decode("latin-1"))
            return Told(202)  # a notification: nothing is under way that one could be about
        if modern:
            revisions.check_modern(headers, message)
        params = message.get("params", {})
        if not isinstance(params, dict):
            raise RpcError(INVALID_PARAMS, "params is an object.")
        answered = await caller.answer(message["method"], params, modern)
    except RpcError as error:
        return _failed(id, error, modern)
    return Told(200, msgspec.json.encode({"jsonrpc": "2.0", "id": id, "result": answered}), (_JSON,))


class _Caller:
    """The requests that there are, for one caller."""

    def __init__(
        self,
        server: Server,
        tools: Mapping[str, Tool],
        on_error: Callable[[str, Exception], None],
        withheld: Collection[str],
    ) -> None:
        self._withheld = withheld
        self._server = server
        self._tools = tools
        self._on_error = on_error

    async def answer(self, method: str, params: dict[str, Any], modern: bool) -> dict[str, Any]:
        """The result. Raises RpcError."""
        asked: dict[str, Callable[[dict[str, Any]], Awaitable[dict[str, Any]]]] = {
            "tools/list": self._list,
            "tools/call": self._call,
        }
        asked |= {"server/discover": self._discover} if modern else {"initialize": self._initialize, "ping": _ping}
        if method not in asked:
            raise RpcError(METHOD_NOT_FOUND, f"There is no method {method[:64]!r} here.")
        result = await asked[method](params)
        if modern:
            result["resultType"] = "complete"
            if method != "tools/call":
                # What a caller may see hangs on its key, and changes when a route or an API does.
                result |= {"ttlMs": 0, "cacheScope": "private"}
        return result

    async def _initialize(self, params: dict[str, Any]) -> dict[str, Any]:
        server = self._server
        return {
            "protocolVersion": revisions.agreed(params.get("protocolVersion")),
            "capabilities": {"tools": {}},
            "serverInfo": {"name": server.name, "title": server.title, "version": server.version},
            "instructions": server.instructions,
        }

    async def _discover(self, params: dict[str, Any]) -> dict[str, Any]:
        server = self._server
        about = {"name": server.name, "title": server.title, "version": server.version}
        return {
            "supportedVersions": list(revisions.MODERN),
            "capabilities": {"tools": {}},
            "instructions": server.instructions,
            "_meta": {"io.modelcontextprotocol/serverInfo": about},
        }

    async def _list(self, params: dict[str, Any]) -> dict[str, Any]:
        if params.get("cursor") is not None:
            raise RpcError(INVALID_PARAMS, "All tools are on one page: there is no cursor.")
        return {"tools": [tool.described() for tool in self._tools.values()]}

    async def _call(self, params: dict[str, Any]) -> dict[str, Any]:
        name = params.get("name")
        tool = self._tools.get(name) if isinstance(name, str) else None
        arguments = params.get("arguments", {})
        if tool is None:
            if name in self._withheld:
                raise Withheld(name)
            raise RpcError(INVALID_PARAMS, f"Unknown tool: {str(name)[:64]}")
        if not isinstance(arguments, dict):
            raise RpcError(INVALID_PARAMS, "arguments is an object.")
        try:
            if not tool.checks_arguments:
                check(tool, arguments)
            found = await tool.run(arguments)
        except Refused as error:
            return _said(str(error), wrong=True)
        except RpcError:
            raise
        except Exception as error:
            self._on_error(tool.name, error)
            raise RpcError(INTERNAL_ERROR, f"{tool.name} failed inside the gate; its log says why.") from error
        if tool.gives is None and isinstance(found, str):
            return _said(found)
        result = _said(msgspec.json.encode(found).decode())
        if isinstance(found, dict):
            result["structuredContent"] = found
        return result


async def _ping(params: dict[str, Any]) -> dict[str, Any]:
    return {}


def _said(text: str, *, wrong: bool = False) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "isError": wrong}


def _failed(id: str | int | None, error: RpcError, modern: bool) -> Told:
    body = msgspec.json.encode({"jsonrpc": "2.0", "id": id, "error": error.told()})
    return Told(error.status(modern), body, (_JSON,))
