"""[mcp]: whether tools are offered to chat clients, which web pages may ask for them, and who answers for them."""

from msgspec import Struct


class McpOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[mcp]"""

    enabled: bool = True
    """Whether /mcp is there."""
    origins: list[str] = []
    """Web pages' origins that may call it, and the operator port, from a browser, besides their own."""
    contact: str = "operators@localhost"
    """Whom users of a chat plugin write to."""
