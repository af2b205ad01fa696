"""A form's field is found wherever the form is cut, and a form that two parsers could read differently is refused."""

from contextlib import suppress
from itertools import pairwise

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kit.properties import examples
from tollkeeper.wire.multipart import BadForm, FieldReader, boundary_of

BOUNDARY = b"----4f2a"
FILLINGS = st.lists(
    st.sampled_from([b"\r\n", b"--", BOUNDARY, b"\r", b"\n", b"x", b'name="model"', b"\xff", b"-"]), max_size=8
).map(b"".join)
VALUES = st.text(max_size=20)


def part(disposition: str, content: bytes, *headers: str) -> bytes:
    lines = "\r\n".join([f"Content-Disposition: form-data; {disposition}", *headers])
    return b"--" + BOUNDARY + b"\r\n" + lines.encode() + b"\r\n\r\n" + content + b"\r\n"


def form(*parts: bytes) -> bytes:
    return b"".join(parts) + b"--" + BOUNDARY + b"--\r\n"


def read(body: bytes, cuts: list[int] | None = None) -> FieldReader:
    reader = FieldReader(BOUNDARY, "model")
    places = [0, *sorted(cut % (len(body) + 1) for cut in cuts or []), len(body)]
    for start, end in pairwise(places):
        reader.feed(body[start:end])
    return reader


@given(VALUES, FILLINGS, FILLINGS, st.lists(st.integers(min_value=0), max_size=8), st.booleans())
@examples(120)
def test_the_field_is_found_however_the_form_is_cut(
    value: str, before: bytes, after: bytes, cuts: list[int], byte_by_byte: bool
) -> None:
    assume(b"\r\n--" + BOUNDARY not in b"\r\n" + value.encode() + b"\r\n")
    assume(all(b"\r\n--" + BOUNDARY not in b"\r\n" + filling + b"\r\n" for filling in (before, after)))
    body = form(
        part('name="file"; filename="model"', before, "Content-Type: audio/wav"),
        part('name="model"', value.encode()),
        part('name="prompt"', after),
    )

    reader = read(body, list(range(len(body))) if byte_by_byte else cuts)

    assert (reader.value, reader.finished) == (value, True)
    assert body[reader.start : reader.end] == value.encode()


@given(st.binary(max_size=300), st.lists(st.integers(min_value=0), max_size=5))
@examples(120)
def test_bytes_that_are_no_form_raise_nothing_but_bad_form(body: bytes, cuts: list[int]) -> None:
    for start in (b"", b"--" + BOUNDARY, b"--" + BOUNDARY + b"\r\nContent-Disposition: "):
        with suppress(BadForm):
            assert read(start + body, cuts).value is None


@pytest.mark.parametrize(
    "disposition",
    ['name="model"', "name=model", 'NAME="model"', 'x="y"; name="model"', 'name = "model"', 'name="model";x=1'],
)
def test_a_name_is_read_in_every_spelling_that_is_one(disposition: str) -> None:
    reader = read(form(part(disposition, b"whisper-1")))

    assert reader.value == "whisper-1"


@pytest.mark.parametrize(
    "disposition",
    [
        'name="models"',
        'name="model"; filename="a.wav"',
        "name=\"model\"; filename*=utf-8''a",
        'name="Model"',
        "",
        "x=model",
    ],
)
def test_other_fields_and_files_are_passed_over(disposition: str) -> None:
    reader = read(form(part(disposition, b"no"), part('name="model"', b"yes")))

    assert reader.value == "yes"


@pytest.mark.parametrize("header", ["content-disposition", "CONTENT-DISPOSITION", "Content-Disposition "])
def test_headers_are_known_in_any_case(header: str) -> None:
    body = b"--" + BOUNDARY + b"\r\n" + header.encode() + b':form-data;name="model"\r\n\r\nv\r\n--' + BOUNDARY + b"--"

    assert read(body).value == "v"


def test_a_form_without_the_field_ends_without_a_value() -> None:
    reader = read(b"a preamble\r\n" + form(part('name="file"; filename="f"', b"x")) + b"an epilogue")

    assert (reader.value, reader.finished) == (None, True)


def test_a_form_that_ends_early_is_not_finished() -> None:
    reader = read(form(part('name="model"', b"v"))[:-6])

    assert (reader.value, reader.finished) == (None, False)


def test_padding_after_a_boundary_is_none_of_its_name() -> None:
    body = form(part('name="model"', b"v")).replace(BOUNDARY + b"\r\n", BOUNDARY + b" \t \r\n")

    assert read(body, list(range(len(body)))).value == "v"


def test_a_value_may_be_empty_but_not_endless() -> None:
    assert read(form(part('name="model"', b""))).value == ""
    assert read(form(part('name="model"', b"m" * 1024))).value == "m" * 1024
    for cut in ([], [500, 1200]):
        with pytest.raises(BadForm, match="longer than 1024"):
            read(form(part('name="model"', b"m" * 1025)), cut)
    with pytest.raises(BadForm, match="longer than 1024"):
        read(part('name="model"', b"m" * 2000))


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (form(part('name="model"', b"cheap"), part('name="model"', b"dear")), "twice"),
        (form(part('name="x"', b"\r\n--" + BOUNDARY + b"5\r\n" + part('name="model"', b"cheap"))), "inside a part"),
        (form(part('name="x"; name="model"', b"v")), "more than one way"),
        (form(part("name*=utf-8''model", b"v")), "more than one way"),
        (form(part('name="mod\\el"', b"v")), "more than one way"),
        (form(part('name="x"', b"v", 'Content-Disposition: form-data; name="model"')), "two content-disposition"),
        (form(part('name="x";', b"v", ' name="model"')), "folded"),
        (form(part('name="model"', b"\xff")), "UTF-8"),
        (b"--" + BOUNDARY + b"\r\n" + b"x: " + b"y" * 17_000, "headers are too long"),
        (b"--" + BOUNDARY + b" " * 300, "inside a part"),
    ],
)
def test_a_form_that_can_be_read_in_two_ways_is_refused(body: bytes, why: str) -> None:
    with pytest.raises(BadForm, match=why):
        read(body)
    with pytest.raises(BadForm, match=why):
        read(body, list(range(0, len(body), 3)))


def test_a_header_of_another_kind_names_nothing() -> None:
    reader = read(form(part('name="x"', b"cheap", 'X-Note: a; name="model"'), part('name="model"', b"dear")))

    assert reader.value == "dear"


@pytest.mark.parametrize(
    ("content_type", "expected"),
    [
        ("multipart/form-data; boundary=abc", b"abc"),
        ('multipart/form-data; boundary="a b:c"', b"a b:c"),
        ("multipart/form-data; charset=utf-8; Boundary=abc; x=y", b"abc"),
        (
            "multipart/form-data;boundary=----WebKitFormBoundary7MA4YWxkTrZu0gW",
            b"----WebKitFormBoundary7MA4YWxkTrZu0gW",
        ),
    ],
)
def test_the_boundary_is_read_from_the_content_type(content_type: str, expected: bytes) -> None:
    assert expected == boundary_of(content_type)


@pytest.mark.parametrize(
    "content_type",
    [
        "multipart/form-data",
        "multipart/form-data; boundary=",
        'multipart/form-data; boundary=""',
        "multipart/form-data; xboundary=evil",
        "multipart/form-data; xboundary=evil; boundary=abc",
        "multipart/form-data; boundary=abc; boundary=evil",
        'multipart/form-data; x="; boundary=evil"; boundary=abc',
        "multipart/form-data; boundary=abc; boundary*=utf-8''evil",
        'multipart/form-data; boundary="a\\b"',
        "multipart/form-data; boundary=é",
        "multipart/form-data; boundary=" + "a" * 71,
    ],
)
def test_a_content_type_without_one_clear_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(BadForm):
        boundary_of(content_type)
