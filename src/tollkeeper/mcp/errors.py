"""JSON-RPC errors, and the HTTP status that each travels with.

https://modelcontextprotocol.io/specification/2026-07-28/basic (error codes), https://www.jsonrpc.org/specification
"""

from typing import Any

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
HEADER_MISMATCH = -32020
UNSUPPORTED_VERSION = -32022

_STATUS = {
    PARSE_ERROR: 400,
    INVALID_REQUEST: 400,
    METHOD_NOT_FOUND: 404,
    INVALID_PARAMS: 400,
    HEADER_MISMATCH: 400,
    UNSUPPORTED_VERSION: 400,
}


class RpcError(Exception):
    """What is wrong with a request; not what is wrong with what a tool was asked to do."""

    def __init__(self, code: int, message: str, data: Any = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data

    def status(self, modern: bool) -> int:
        """Until 2025-11-25 an answer is 200 whatever it says, unless the request could not be read at all."""
        if modern or self.code in (PARSE_ERROR, INVALID_REQUEST):
            return _STATUS.get(self.code, 200)
        return 200

    def told(self) -> dict[str, Any]:
        """The `error` member."""
        error: dict[str, Any] = {"code": self.code, "message": self.message}
        if self.data is not None:
            error["data"] = self.data
        return error
