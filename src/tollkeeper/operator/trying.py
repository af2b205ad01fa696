"""One request through the gate's own port, as a client would send it; and how the nodes of upstreams fare."""

from typing import Any

from tollkeeper.core.account import Patience
from tollkeeper.core.errors import CallerError
from tollkeeper.core.ports import Outbound
from tollkeeper.mcp.tool import Arguments
from tollkeeper.routes.assembly import described as described

_PATIENCE = Patience(connect=3.0, first_byte=30.0, idle=30.0, total=45.0)
MOST_BYTES = 20_000
"""Of an answer that are shown where nothing else is said."""
_OURS = frozenset(("host", "content-length", "transfer-encoding", "connection", "upgrade", "expect", "te", "trailer"))


async def send(outbound: Outbound, url: str | None, given: Arguments, most: int = MOST_BYTES) -> dict[str, Any]:
    """`{"method", "path", "headers", "body"}` → `{"status", "headers", "body", "cut"}`, of the gate at `url`.

    Raises TollkeeperError.
    """
    if url is None:
        raise CallerError("The gate's port is not open.", status=503, code="gate_not_open")
    path: str = given["path"]
    headers = [(b"accept-encoding", b"identity")]
    for name, value in given.get("headers", {}).items():
        if name.lower() in _OURS or not name.isascii() or not f"{name}{value}".isprintable() or ":" in name:
            raise CallerError(f"The header {name[:64]} cannot be sent.", code="invalid_value", param="headers")
        headers.append((name.lower().encode(), value.encode("latin-1", "replace")))
    if not (path.isascii() and path.isprintable()) or " " in path:
        raise CallerError("The path must be percent-encoded.", code="invalid_value", param="path")
    body = given.get("body", "").encode()
    answer = await outbound.send(given["method"].encode(), url + path, headers, body, _PATIENCE)
    try:
        await answer.head()
        found, whole = await answer.read(most)
    finally:
        answer.close()
    return {
        "status": answer.status,
        "headers": {name.decode("latin-1"): value.decode("latin-1") for name, value in answer.headers},
        "body": found[:most].decode("utf-8", "replace"),
        "cut": not whole or len(found) > most,
    }
