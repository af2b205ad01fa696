"""Which ids of what a provider keeps a request names: in its path, its query, its body; pure."""

import json
import re
from typing import Any, TypeGuard
from urllib.parse import parse_qsl, unquote

from tollkeeper.core.call import Call
from tollkeeper.core.errors import CallerError

LONGEST = 256
_TOP = ("previous_response_id", "conversation", "container", "input_file_id", "training_file", "validation_file")
"""Members of a request itself."""
NAMING = frozenset(
    (
        *_TOP,
        "file_id",
        "file_ids",
        "vector_store_id",
        "vector_store_ids",
        "container_id",
        "assistant_id",
        "thread_id",
        "batch_id",
        "response_id",
        "upload_id",
    )
)
"""Members at whatever depth whose value is an id, a list of ids, or an object that has an `id`."""
_INSIDE = (b"file_id", b"vector_store_id", b"container", b"assistant_id", b"thread_id")
"""What is looked for before a body is read: with none of them in it, it names nothing but as its own members."""
LETTER = rb"\\u00(?:2[dD]|3\d|4[1-9a-fA-F]|5[0-9aAfF]|6[1-9a-fA-F]|7[0-9aA])"
"""A letter, a digit, - or _ written as an escape: a name may be hidden in it. No usual encoder does that."""
_ESCAPED = re.compile(LETTER)
_WORD = re.compile(r"[a-z_]{1,24}\Z")
"""What is no id in a path: "files", "input_items"."""
_FILE = b"file_id"


def is_id(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= LONGEST and value.isascii() and value.isprintable()


def may_name(call: Call) -> bool:
    """Whether a call for a model's answer must be read for what it names: cheap, and right where it says no."""
    body = call.body
    if not isinstance(body, bytes):
        return False
    return _FILE in body or "container" in call.members or (b"\\u00" in body and _ESCAPED.search(body) is not None)


def named(call: Call) -> list[str]:
    """Each id once, those of the body first. Some are words of the path, which are nobody's ids. Raises CallerError."""
    found = _of_body(call)
    if "/" in call.path or "%" in call.path:
        found += _of_path(call.path)
    if call.query:
        found += [value for _, value in parse_qsl(call.query.decode("latin-1")) if is_id(value)]
    return list(dict.fromkeys(found)) if found else found


def in_path(path: str) -> list[str]:
    """What in a path is no mere word: the ids of what it is about, outermost first."""
    return [part for part in _of_path(path) if not _WORD.match(part)]


def is_surely_id(name: str, call: Call) -> bool:
    """Whether it is an id and nothing else, whether or not anybody knows it."""
    return not _WORD.match(name) and (name in in_path(call.path) or name in _of_body(call))


def _of_path(path: str) -> list[str]:
    """Many servers take an encoded slash for one."""
    parts = path.split("/")[1:]
    if "%" in path:
        parts = [unquote(part) for part in parts] + unquote(path).split("/")[1:]
    return [part for part in dict.fromkeys(parts) if is_id(part)]


def _of_body(call: Call) -> list[str]:
    body, members = call.body, call.members
    if not isinstance(body, bytes) or not members:
        return []
    for inside in _INSIDE:
        if inside in body:
            return _inside(body)
    if b"\\u00" in body and _ESCAPED.search(body) is not None:
        return _inside(body)
    found: list[str] = []
    for name in _TOP:
        if name in members:
            found += _values(json.loads(bytes(members[name])))
    return found


def _inside(body: bytes) -> list[str]:
    """Every pair is looked at, also of several with one name: which of them counts is not the same for all who read it."""
    found: list[str] = []

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        for name, value in pairs:
            if name in NAMING:
                found.extend(_values(value))
        inner = dict(pairs)
        if inner.get("type") == "file_id":  # as a source of evals
            found.extend(_values(inner))
        return inner

    try:
        json.JSONDecoder(object_pairs_hook=look, parse_int=len, parse_float=len, strict=False).decode(body.decode())
    except (ValueError, RecursionError):
        raise CallerError("We could not parse the JSON body of your request.", code="invalid_json") from None
    return found


def _values(value: Any) -> list[str]:
    if isinstance(value, dict):
        value = value.get("id")
    if isinstance(value, list):
        return [one for one in value if is_id(one)]
    return [value] if is_id(value) else []
