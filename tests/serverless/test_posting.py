"""Messages to a connection: together where they may be, in order, never larger than a frame, and none after its end."""

import asyncio
import threading
import time
from collections.abc import Callable

from kit.connections import Connections, connections
from kit.dynamodb import CREDENTIALS, REGION
from kit.scripted import ScriptedUpstream, json_answer
from tollkeeper.serverless.posting import Posting
from tollkeeper.stores.dynamodb.table import Place
from tollkeeper.upstream.client import HttpClient

PLACE = Place("t", REGION, "http://127.0.0.1:1/", lambda: CREDENTIALS)


def post(known: Connections, pieces: list[bytes], whole: bool, on_gone: Callable[[], None] = lambda: None) -> None:
    """Writes all of them at once, and ends."""

    async def write() -> None:
        client = HttpClient(time.monotonic)
        posting = Posting(client, PLACE, known.url, "a=", whole, on_gone)
        for piece in pieces:
            posting.write(piece)
        await posting.end()
        assert posting.blocked is None
        await client.close()

    asyncio.run(write())


def test_pieces_that_come_together_are_sent_together_and_frames_are_not() -> None:
    received: list[bytes] = []
    with connections() as known:
        known.open["a="] = received.append
        post(known, [b"one ", b"two"], whole=False)
        post(known, [b"{1}", b"{2}"], whole=True)

    assert received == [b"one two", b"{1}", b"{2}"]


def test_a_long_text_is_cut_between_characters() -> None:
    received: list[bytes] = []
    text = "日" * 30_000
    with connections() as known:
        known.open["a="] = received.append
        post(known, [text.encode()], whole=False)

    assert all(len(message) <= 32 * 1024 for message in received)
    assert "".join(message.decode() for message in received) == text


def test_who_is_gone_is_told_of_once_and_sent_nothing_more() -> None:
    gone: list[bool] = []
    with connections() as known:
        post(known, [b"{1}", b"{2}"], whole=True, on_gone=lambda: gone.append(True))

        assert gone == [True]
        assert len(known.authorizations) == 1


def test_what_is_throttled_is_sent_again() -> None:
    answers = iter([json_answer(429, {}), json_answer(500, {}), json_answer(200, {})])
    done = threading.Event()
    with ScriptedUpstream(lambda request, connection: next(answers)(request, connection)) as upstream:
        known = Connections(upstream.url)
        post(known, [b"one"], whole=False, on_gone=done.set)

        assert [request.body for request in upstream.requests] == [b"one"] * 3
    assert not done.is_set()
