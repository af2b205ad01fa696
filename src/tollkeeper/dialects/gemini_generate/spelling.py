"""Requests in either of Gemini's spellings: camelCase, as its JSON is documented, and snake_case, which it takes as well.

Google's own client mixes the two in one request.
"""

import re
from typing import Any

_DATA = frozenset(
    (
        "args",
        "labels",
        "parameters",
        "parametersJsonSchema",
        "response",
        "responseFormat",
        "responseJsonSchema",
        "responseSchema",
    )
)
"""What is below these is the caller's own."""
_UNDERSCORE = re.compile(r"_([a-z0-9])")


def camel(value: Any) -> Any:
    """`value` with all names of fields in camelCase."""
    if isinstance(value, list):
        return [camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    found = {}
    for name, member in value.items():
        spelled = _UNDERSCORE.sub(lambda match: match.group(1).upper(), name) if "_" in name else name
        found[spelled] = member if spelled in _DATA else camel(member)
    return found
