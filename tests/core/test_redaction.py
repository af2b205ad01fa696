"""Secrets in texts: taken out whole or in pieces, however they are cut; nothing else is touched."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tollkeeper.core.redaction import LEAST, Pieces, hidden, sought

SECRET = b"sk-sk-canary-0123456789"


def test_a_secret_is_looked_for_where_it_is_no_ordinary_word() -> None:
    assert [sought(None), sought(""), sought("x" * (LEAST - 1))] == [None, None, None]
    assert sought("x" * LEAST) == b"x" * LEAST


def test_a_whole_text_loses_the_secret_wherever_it_stands() -> None:
    assert hidden(SECRET + b" and " + SECRET, SECRET) == b"[redacted] and [redacted]"
    assert hidden(SECRET[:-1], SECRET) == SECRET[:-1]
    assert hidden(b"anything", None) == b"anything"


@pytest.mark.parametrize("same_length", [False, True])
def test_a_text_in_pieces_comes_out_as_it_would_whole(same_length: bool) -> None:
    text = b"a " + SECRET + SECRET[:5] + SECRET + b"\nsk-sk-canary\n" + SECRET[:-1]
    wanted = text.replace(SECRET, b"*" * len(SECRET) if same_length else b"[redacted]")

    for first in range(len(text)):
        for second in range(first, len(text)):
            pieces = Pieces(SECRET, same_length=same_length)
            cut = [text[:first], text[first:second], text[second:]]
            assert b"".join([pieces.feed(piece) for piece in cut]) + pieces.end() == wanted


@given(st.lists(st.sampled_from([b"sk-", b"sk-canary", b"-0123456789", b"\n", SECRET, SECRET[:7], SECRET[7:]])))
def test_no_way_of_cutting_shows_the_secret(cut: list[bytes]) -> None:
    pieces = Pieces(SECRET)

    shown = b"".join([pieces.feed(piece) for piece in cut]) + pieces.end()

    assert shown == b"".join(cut).replace(SECRET, b"[redacted]")


def test_what_cannot_be_the_secrets_beginning_is_not_kept() -> None:
    pieces = Pieces(SECRET)

    assert pieces.feed(b"data: {}\n\n") == b"data: {}\n\n"
    assert pieces.feed(b"word") == b"word"
    assert pieces.feed(b"word s") == b"word "
    assert pieces.feed(b"o on") == b"so on"
    assert pieces.end() == b""
    assert Pieces(None).feed(SECRET) == SECRET
