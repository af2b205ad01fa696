"""A file of a batch's lines on its way to a provider: looked through for what its requests name, as their bodies would be.

It is known whether a form is such a file when it ends at the latest: its last piece is held back until then.
"""

import re
from collections.abc import AsyncIterator, Callable, Sequence
from urllib.parse import unquote

from tollkeeper.core.call import Call, Upload
from tollkeeper.core.errors import TollkeeperError
from tollkeeper.flow.named_ids import LETTER, NAMING, is_id
from tollkeeper.wire import multipart

_NAMES = b"|".join(sorted(name.encode() for name in NAMING))
_NAMED = re.compile(
    rb'"(?:%b)"\s{0,99}:\s{0,99}(?:\{\s{0,99}"id"\s{0,99}:\s{0,99})?(?:"([^"\\]{1,256})"|\[([^\]]{1,8192})\])' % _NAMES
)
_ESCAPED = re.compile(rb"(?<!\\)(?:\\\\)*" + LETTER)
_QUOTED = re.compile(rb'"([^"\\]{1,256})"')
_OVERLAP = 10 * 1024
"""Bytes that are looked at again with the next piece: more than what one match has."""

Refusal = Callable[[Sequence[str]], TollkeeperError | None]
"""What is wrong with naming these, if anything."""


def is_form(call: Call) -> bool:
    """Whether it may be such a file."""
    last = unquote(call.path).rstrip("/").rpartition("/")[2]
    return last == "files" and call.method == "POST" and isinstance(call.body, Upload)


def watched(upload: Upload, content_type: str, refusal: Refusal, escaped: TollkeeperError) -> Upload:
    """The same, but that it breaks off before its end where it is a batch's file: with a `refusal` where it names what it
    must not; with `escaped` where a letter is written as an escape, as no program writes one: it may hide a name.
    """
    try:
        reader = multipart.FieldReader(multipart.boundary_of(content_type), "purpose")
    except multipart.BadForm:
        return upload  # nobody can read it
    return Upload(_watched(upload.chunks, reader, refusal, escaped), upload.length)


async def _watched(
    chunks: AsyncIterator[bytes], reader: multipart.FieldReader, refusal: Refusal, escaped: TollkeeperError
) -> AsyncIterator[bytes]:
    wrong: TollkeeperError | None = None
    readable = True
    tail = held = b""
    async for chunk in chunks:
        if held:
            yield held
        held = chunk
        if readable:
            try:
                reader.feed(chunk)
            except multipart.BadForm:
                readable = False
        if wrong is None:
            seen = tail + chunk
            wrong = escaped if _ESCAPED.search(seen) else refusal(_named_in(seen))
            tail = seen[-_OVERLAP:]
    if wrong is not None and (not readable or reader.value == "batch"):
        raise wrong
    if held:
        yield held


def _named_in(data: bytes) -> list[str]:
    found: dict[str, None] = {}
    for match in _NAMED.finditer(data):
        texts = [match[1]] if match[1] is not None else _QUOTED.findall(match[2])
        found.update(dict.fromkeys(name for text in texts if is_id(name := text.decode("latin-1"))))
    return list(found)
