"""[mcp] is read whole and refuses what it does not know."""

import msgspec
import pytest

from tollkeeper.mcp.options import McpOptions


def test_tools_are_offered_unless_the_config_says_otherwise() -> None:
    assert McpOptions() == McpOptions(enabled=True, origins=[], contact="operators@localhost")


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="origin"):
        msgspec.convert({"origin": []}, McpOptions)
