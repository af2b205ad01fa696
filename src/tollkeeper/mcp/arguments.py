"""Whether what a model wrote is what a tool takes, and what to tell it where it is not."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import fastjsonschema
import msgspec

from tollkeeper.mcp.tool import Arguments, Refused, Tool


def check(tool: Tool, given: Arguments) -> None:
    """Raises Refused."""
    try:
        _validator(msgspec.json.encode(tool.takes))(given)
    except fastjsonschema.JsonSchemaValueException as error:
        raise Refused(f"{tool.name}: {error.message.replace('data', 'arguments', 1)}") from None


@lru_cache(256)
def _validator(schema: bytes) -> Callable[[Any], Any]:
    """Tools are made anew for each caller, and their schemas are the same: compiling one takes milliseconds."""
    compiled: Callable[[Any], Any] = fastjsonschema.compile(msgspec.json.decode(schema), use_formats=False)
    return compiled
