"""The tools of a gate's operator port, used over the Model Context Protocol: one list for every chat client, and for ours.

https://modelcontextprotocol.io/specification/2026-07-28
"""

import base64
from typing import Any

import msgspec

from tollkeeper.core.account import Patience
from tollkeeper.core.errors import CallerError, UpstreamError
from tollkeeper.core.ports import Outbound
from tollkeeper.core.version import __version__
from tollkeeper.mcp.revisions import MODERN
from tollkeeper.mcp.tool import Arguments, Refused, Tool

_LONGEST = 8 * 1024 * 1024
_PATIENCE = Patience(connect=5.0, first_byte=90.0, idle=90.0, total=120.0)
_META = {
    "io.modelcontextprotocol/protocolVersion": MODERN[0],
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "tollkeeper-chat", "version": __version__},
}


class Toolbox:
    """`url` is the operator port's address; `key` its operator or viewer key; `who` is written into the history."""

    def __init__(self, outbound: Outbound, url: str, key: str, who: str) -> None:
        self._outbound = outbound
        self._url = url.rstrip("/") + "/mcp"
        self._headers = [
            (b"x-api-key", key.encode("ascii", "replace")),
            (b"x-tollkeeper-who", who.encode("ascii", "replace")),
            (b"content-type", b"application/json"),
            (b"accept-encoding", b"identity"),
            (b"mcp-protocol-version", MODERN[0].encode()),
        ]

    async def open(self) -> tuple[str, list[Tool]]:
        """What a model should know, and the tools. Raises CallerError where the key is not taken, UpstreamError."""
        told = await self._ask("server/discover", {})
        listed = await self._ask("tools/list", {})
        return str(told.get("instructions", "")), [self._tool(described) for described in listed["tools"]]

    def _tool(self, described: dict[str, Any]) -> Tool:
        name, hints = described["name"], described.get("annotations", {})

        async def run(given: Arguments) -> Any:
            result = await self._ask("tools/call", {"name": name, "arguments": given}, name)
            text = "".join(part.get("text", "") for part in result["content"])
            if result.get("isError"):
                raise Refused(text)
            return result.get("structuredContent", text)

        return Tool(
            name=name,
            title=described.get("title", name),
            description=described.get("description", ""),
            takes=described["inputSchema"],
            gives=described.get("outputSchema"),
            run=run,
            checks_arguments=True,
            reads=hints.get("readOnlyHint", False),
            destroys=hints.get("destructiveHint", True),
            repeatable=hints.get("idempotentHint", False),
            reaches_out=hints.get("openWorldHint", True),
        )

    async def _ask(self, method: str, params: dict[str, Any], name: str | None = None) -> dict[str, Any]:
        headers = [*self._headers, (b"mcp-method", method.encode())]
        if name is not None:
            wrapped = f"=?base64?{base64.b64encode(name.encode()).decode()}?="
            headers.append((b"mcp-name", (name if name.isascii() else wrapped).encode()))
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": _META}}
        sent = msgspec.json.encode(message)
        answer = await self._outbound.send(b"POST", self._url, headers, sent, _PATIENCE)
        try:
            await answer.head()
            body, _ = await answer.read(_LONGEST)
        finally:
            answer.close()
        if answer.status in (401, 403):
            raise CallerError("The operator port does not take this key.", status=401, code="invalid_api_key")
        try:
            told = msgspec.json.decode(body)
            if answer.status == 404 and "jsonrpc" not in told:
                raise UpstreamError(f"There are no tools at {self._url}: perhaps [mcp] enabled is false there.")
            if "error" not in told:
                result: dict[str, Any] = told["result"]
                return result
            words = str(told["error"]["message"])
        except (ValueError, TypeError, LookupError):
            raise UpstreamError(f"The operator port answered {answer.status} and no MCP.") from None
        if method == "tools/call":
            raise Refused(words)
        raise UpstreamError(f"The operator port: {words}")
