"""Fingerprints: the same for what cannot change an answer, another for everything else, and never by accident."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.json_objects import OBJECTS, compact
from kit.properties import examples
from tollkeeper.core.account import Balancing
from tollkeeper.core.call import Call, Destination, Presence, Upload
from tollkeeper.core.keys import Key
from tollkeeper.dialects.openai_paths import endpoint
from tollkeeper.sharing.fingerprint import digest, header_parts, request_parts
from tollkeeper.wire import json_text

KEY = Key(id="key_1", name="n", shown="tk-", digest=b"", created_at=0)


def call(body: bytes | Upload = b"{}", headers: list[tuple[bytes, bytes]] | None = None, **fields: Any) -> Call:
    members = json_text.members(body) if isinstance(body, bytes) and body else {}
    values = {"model": "m", "streamed": False, "query": b"", "method": "POST", "path": "chat/completions", **fields}
    return Call(
        request_id="r",
        key=KEY,
        dialect=endpoint("chat/completions", "POST").dialect,
        headers=headers or [],
        body=body,
        members=members,
        accepted_at=0.0,
        presence=Presence(),
        **values,
    )


def mark(asked: Call, *without: str) -> bytes:
    return digest(request_parts(asked, frozenset(without)))


@examples(60)
@given(OBJECTS, st.randoms())
def test_space_and_the_order_of_top_level_members_say_nothing(value: dict[str, Any], random: Any) -> None:
    turned = list(value.items())
    random.shuffle(turned)

    assert mark(call(compact(value))) == mark(call(json.dumps(dict(turned), indent=3).encode()))


@examples(60)
@given(OBJECTS, OBJECTS)
def test_two_bodies_are_the_same_only_where_their_members_are(one: dict[str, Any], two: dict[str, Any]) -> None:
    same = {name: compact(value) for name, value in one.items()} == {
        name: compact(value) for name, value in two.items()
    }

    assert (mark(call(compact(one))) == mark(call(compact(two)))) == same


@pytest.mark.parametrize(
    ("one", "two"),
    [
        (b'{"a":{"x":1,"y":2}}', b'{"a":{"y":2,"x":1}}'),
        (b'{"a":{"x":1,"x":2}}', b'{"a":{"x":2}}'),  # a provider may read the first of the two
        (b'{"seed":18446744073709551616}', b'{"seed":18446744073709551617}'),
        (b'{"a":1}', b'{"a":1.0}'),
        (b'{"a":"1"}', b'{"a":1}'),
        (b'{"a":" b"}', b'{"a":"b"}'),
        (b'{"ab":"c"}', b'{"a":"bc"}'),
        (b'{"a":[1,2]}', b'{"a":[12]}'),
        (b'{"a":null}', b"{}"),
    ],
)
def test_bodies_that_could_be_taken_for_one_another_are_told_apart(one: bytes, two: bytes) -> None:
    assert mark(call(one)) != mark(call(two))


@pytest.mark.parametrize(
    "other",
    [
        {"model": "n"},
        {"streamed": True},
        {"query": b"a=1"},
        {"path": "completions"},
        {"method": "PUT"},
        {"provider": "p"},
    ],
)
def test_what_stands_outside_the_body_counts(other: dict[str, Any]) -> None:
    assert mark(call()) != mark(call(**other))


def test_azure_s_version_does_not_count_as_no_provider_is_told() -> None:
    assert mark(call(query=b"a=1&api-version=2024")) == mark(call(query=b"a=1"))


def test_members_that_are_left_out_do_not_count() -> None:
    assert mark(call(b'{"user":"a","n":1}'), "user") == mark(call(b'{"n":1}'), "user")
    assert mark(call(b'{"user":"a","n":1}')) != mark(call(b'{"n":1}'))


def test_an_upload_is_not_read() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        raise AssertionError
        yield b""

    assert mark(call(Upload(chunks(), 5))) == mark(call(Upload(chunks(), 7)))


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        (b"openai-beta", True),
        (b"anthropic-version", True),
        (b"x-something-new", True),
        (b"authorization", False),
        (b"user-agent", False),
        (b"x-stainless-retry-count", False),
        (b"x-tollkeeper-cache", False),
        (b"x-forwarded-for", False),
        (b"idempotency-key", False),
        (b"traceparent", False),
    ],
)
def test_headers_count_unless_they_are_known_to_say_nothing(name: bytes, counts: bool) -> None:
    one, two = header_parts(call(headers=[(name, b"1")])), header_parts(call(headers=[(name, b"2")]))

    assert (one != two) == counts


def test_the_order_of_headers_does_not_count() -> None:
    headers = [(b"openai-beta", b"a"), (b"x-new", b"b")]

    assert header_parts(call(headers=headers)) == header_parts(call(headers=headers[::-1]))


def test_parts_do_not_run_into_each_other() -> None:
    assert len({digest(parts) for parts in ([b"ab", b"c"], [b"a", b"bc"], [b"abc"], [b"abc", b""], [])}) == 5


def test_calls_to_different_destinations_are_different() -> None:
    one, other = (Destination((), Balancing(), identity) for identity in (b"a", b"b"))
    marks = {mark(call()), mark(call(destination=one)), mark(call(destination=other))}
    assert len(marks) == 3
    assert mark(call(destination=Destination((), Balancing(), b"a"))) in marks
