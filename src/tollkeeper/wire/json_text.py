"""JSON objects as text: read their top-level members, and change one without touching a byte of the others."""

import json
import re
from collections.abc import Mapping
from itertools import islice
from typing import Any

import msgspec

Members = dict[str, msgspec.Raw]

_TRIES = 16
"""Places that are looked at: each costs a reading of the text, and a text may repeat a name a million times."""

_decode = msgspec.json.Decoder().decode
_decode_members = msgspec.json.Decoder(Members).decode


class BadJson(ValueError):
    """Why a text is not a JSON object that every parser reads alike. `str()` is fit for the caller."""


def members(text: bytes) -> Members:
    """Top-level members of a JSON object, each value's very bytes.

    Refuses what parsers disagree about or choke on: duplicate names among these members, NaN, lone surrogates, invalid
    UTF-8, a byte order mark, nesting past the interpreter's bound.
    Raises BadJson.
    """
    try:
        found = _decode_members(text)
        if not text.isascii():
            text.decode()
    except RecursionError:
        raise BadJson("it is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise BadJson(f"it is not valid UTF-8 (byte {error.start})") from None
    except msgspec.ValidationError:
        raise BadJson("it must be a JSON object") from None
    except msgspec.DecodeError as error:
        raise BadJson(_plain_words(text, str(error))) from None
    if not _accounts_for(text, found):
        _refuse_duplicates(text)
    return found


def value(text: bytes) -> Any:
    """Whatever JSON it is, as msgspec reads it. Raises BadJson."""
    try:
        return _decode(text)
    except RecursionError:
        raise BadJson("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise BadJson("it is not valid UTF-8") from None
    except msgspec.DecodeError as error:
        raise BadJson(str(error)) from None


def _plain_words(text: bytes, reason: str) -> str:
    if text.startswith(b"\xef\xbb\xbf"):
        return "it begins with a byte order mark"
    if not text.strip():
        return "it is empty"
    if b"\\ud" in text.lower() and "truncated" in reason:
        return "it has a lone surrogate (\\ud800 to \\udfff) in a string, or is cut short"
    return reason.removeprefix("JSON is malformed: ")


def _accounts_for(text: bytes, found: Members) -> bool:
    """Whether the members' bytes fill the text exactly, so that no name can have occurred twice.

    Names compare by length, so an escaped name does not add up. Covers the two spacings that libraries write
    ("," ":" and ", " ": "); any other takes the slow way.
    """
    filled = _filled(found)
    if len(text) == filled:
        return True
    return (
        len(text) == filled + 2 * len(found) - 1
        and text
        == b"{" + b", ".join([b'"' + name.encode() + b'": ' + bytes(value) for name, value in found.items()]) + b"}"
    )


def _refuse_duplicates(text: bytes) -> None:
    names: list[str] = []

    def note(pairs: list[tuple[str, object]]) -> None:
        names[:] = [name for name, _ in pairs]  # the outermost object is the last to end

    try:
        json.loads(text, object_pairs_hook=note, parse_int=len, parse_float=len)
    except RecursionError:
        raise BadJson("it is nested too deeply") from None
    except ValueError as error:
        raise BadJson(str(error)) from None
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise BadJson(f"it has the name {name[:64]!r} twice")
        seen.add(name)


def replaced(text: bytes, found: Members, changes: Mapping[str, bytes]) -> bytes:
    """`text` with the values of `changes` put in the place of the old ones, or added at the end.

    `found` is `members(text)`. All other bytes stay as they are, unless the object is spaced in a way of its own: then
    white space between top-level members is normalised; values never change.
    """
    compact = _replaced_in_compact(text, found, changes)
    if compact is not None:
        return compact
    for name, value in changes.items():
        if name in found:
            text = _replace_one(text, found, name, value) or _rebuilt({**found, name: msgspec.Raw(value)})
        else:
            end = text.rindex(b"}")
            comma = b"," if found else b""
            text = text[:end] + comma + msgspec.json.encode(name) + b":" + value + text[end:]
        found = {**found, name: msgspec.Raw(value)}
    return text


def _filled(found: Members) -> int:
    """How long the object is where it has no white space between its members and every name stands there once, plainly.

    Names count by their letters: one that is escaped or not ASCII takes more bytes. So a text of this length is such a one.
    """
    filled = 1
    for name, value in found.items():
        filled += len(name) + len(value) + 4
    return filled


def _replaced_in_compact(text: bytes, found: Members, changes: Mapping[str, bytes]) -> bytes | None:
    """As `replaced`, of a text of just the length that `_filled` tells; None where it is another."""
    pieces: list[bytes] = []
    at, kept = 1, 0
    for name, value in found.items():
        begin = at + len(name) + 3
        end = begin + len(value)
        new = changes.get(name)
        if new is not None:
            pieces += (text[kept:begin], new)
            kept = end
        at = end + 1
    if at != len(text) or not found:
        return None
    pieces.append(text[kept:-1])
    for name, new in changes.items():
        if name not in found:
            pieces += (b",", msgspec.json.encode(name), b":", new)
    pieces.append(b"}")
    return b"".join(pieces)


def _replace_one(text: bytes, found: Members, name: str, new: bytes) -> bytes | None:
    """Changes the one place that changes this member and no other; None where no plain spelling of the name has it."""
    old = bytes(found[name])
    wanted = {**{key: bytes(value) for key, value in found.items()}, name: new}
    spelled = re.finditer(re.escape(msgspec.json.encode(name)) + rb"\s*:\s*" + re.escape(old), text)
    for match in islice(spelled, _TRIES):
        changed = text[: match.end() - len(old)] + new + text[match.end() :]
        try:
            left = _decode_members(changed)
        except msgspec.DecodeError:
            continue
        if {key: bytes(value) for key, value in left.items()} == wanted:
            return changed
    return None


def _rebuilt(found: Members) -> bytes:
    return b"{" + b",".join(msgspec.json.encode(name) + b":" + bytes(value) for name, value in found.items()) + b"}"


def without(text: bytes, name: str) -> bytes:
    """`text` without its top-level member `name`, every other byte untouched; `text` itself where it has none.

    The member goes with one adjoining comma. Where the name also stands elsewhere in the text, the place is found by
    trying: the right one leaves all other members with the bytes they had.
    """
    found = _decode_members(text)
    if name not in found:
        return text
    rest = {key: bytes(value) for key, value in found.items() if key != name}
    member = re.escape(msgspec.json.encode(name)) + rb"\s*:\s*" + re.escape(bytes(found[name]))
    for pattern in (rb",\s*" + member, member + rb"\s*,\s*", member):
        for match in islice(re.finditer(pattern, text), _TRIES):
            shorter = text[: match.start()] + text[match.end() :]
            try:
                left = _decode_members(shorter)
            except msgspec.DecodeError:
                continue
            if {key: bytes(value) for key, value in left.items()} == rest:
                return shorter
    return _rebuilt({key: value for key, value in found.items() if key != name})
