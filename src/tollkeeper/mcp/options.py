"""[mcp]: whether tools are offered to chat clients, and which web pages may ask for them."""

from msgspec import Struct


class McpOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[mcp]"""

    enabled: bool = True
    """Whether /mcp is there."""
    origins: list[str] = []
    """Web pages' origins that may call it from a browser, besides the gate's own."""
