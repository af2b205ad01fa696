"""How many tokens a call will take, guessed before it is sent; what it really took is settled when it ends."""

from collections.abc import Mapping

from msgspec import Raw

from tollkeeper.core.call import Call

_BYTES_A_TOKEN = 4
"""English text has about four characters to a token (https://platform.openai.com/tokenizer)."""
_SMALL = 16 * 1024
_LONG = 4 * 1024
A_FILE = 1000
"""Tokens that a picture, a sound or a file inside a body is taken for: its bytes say nothing of them."""
_MOST = ("max_completion_tokens", "max_tokens", "max_output_tokens")
_LONGEST_NUMBER = 9
_WITHOUT_OUTPUT = frozenset(("embeddings", "moderation", "files", "batches"))


def input_tokens(call: Call) -> int:
    """Of the body's bytes; 0 where tokens are not what the call is made of."""
    body = call.body
    if not call.metered or not isinstance(body, bytes):
        return 0
    size = len(body)
    if size <= _SMALL or b"base64" not in body:
        return -(-size // _BYTES_A_TOKEN)
    files = 0
    for part in body.split(b'"'):
        # Long, without a space, not one escaped character: no text in any language looks so.
        if len(part) > _LONG and b" " not in part and b"\\u" not in part and part.isascii():
            size -= len(part)
            files += 1
    return -(-size // _BYTES_A_TOKEN) + files * A_FILE


def output_tokens(call: Call, mean: int) -> int:
    """The most that the request allows itself, times the answers it wants; `mean` where it sets no bound."""
    if not call.metered or call.dialect.operation in _WITHOUT_OUTPUT:
        return 0
    members = call.members
    for name in _MOST:
        if name in members and (most := _number(members, name)) is not None:
            answers = _number(members, "n") if "n" in members else None
            return most * (answers or 1)
    return mean


def _number(members: Mapping[str, Raw], name: str) -> int | None:
    raw = members.get(name)
    if raw is None:
        return None
    digits = bytes(raw)
    return int(digits) if digits.isdigit() and len(digits) <= _LONGEST_NUMBER else None
