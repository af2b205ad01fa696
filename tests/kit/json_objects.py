"""JSON objects for properties, and the ways there are to write them down."""

import json
from typing import Any

from hypothesis import strategies as st

NAMES = st.sampled_from(["model", "usage", "a", "", "é", 'qu"ote', "back\\slash", "line\n", "\U0001f600"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS | NAMES
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=4
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=5)
SPACES = st.sampled_from(["", " ", "\t", "\r\n ", "  "])


def compact(value: object, ascii_only: bool = True) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=ascii_only).encode()


@st.composite
def spellings(draw: st.DrawFn, objects: st.SearchStrategy[dict[str, Any]] = OBJECTS) -> tuple[dict[str, Any], bytes]:
    """An object and one of the ways to write it down."""
    value = draw(objects)
    way = draw(st.sampled_from(["compact", "spaced", "indented", "raw", "odd"]))
    if way != "odd":
        text = {
            "compact": compact(value),
            "spaced": json.dumps(value).encode(),
            "indented": json.dumps(value, indent=2).encode(),
            "raw": compact(value, ascii_only=False),
        }[way]
        return value, text
    members = []
    for name, inner in value.items():
        quoted = json.dumps(name, ensure_ascii=draw(st.booleans()))
        if draw(st.booleans()) and name.isascii() and name.isalpha():
            quoted = f'"\\u{ord(name[0]):04x}{name[1:]}"'
        members.append(draw(SPACES) + quoted + draw(SPACES) + ":" + draw(SPACES) + json.dumps(inner) + draw(SPACES))
    return value, (draw(SPACES) + "{" + ",".join(members) + draw(SPACES) + "}" + draw(SPACES)).encode()
