"""Headers and bodies of answers that no provider was asked for. Through the door: test_cache and test_idempotency."""

import asyncio
from collections.abc import Awaitable

from kit.loops import in_a_loop
from tollkeeper.core.kept import Kept
from tollkeeper.sharing.receipts import headers_for_others, reply_from

KEPT = Kept(
    status=200,
    headers=((b"content-type", b"text/event-stream"),),
    pieces=(b"one", b"two", b"three"),
    streamed=True,
    provider="up",
    model="m",
    model_used=None,
    cost_nano=1,
    at=0.0,
)


def test_what_was_true_of_the_first_answer_only_is_not_told_again() -> None:
    stay = [
        (b"content-type", b"application/json"),
        (b"x-upstream-request-id", b"req_1"),
        (b"x-tollkeeper-model", b"up/m"),
        (b"x-tollkeeper-dropped", b"top_k"),
        (b"openai-version", b"2020-10-01"),
    ]
    go = [
        (b"x-tollkeeper-cost", b"0.1"),
        (b"x-tollkeeper-budget-warning", b"spent"),
        (b"x-tollkeeper-attempts", b"2"),
        (b"x-tollkeeper-overhead-ms", b"1.00"),
        (b"x-tollkeeper-cache", b"stored"),
        (b"x-ratelimit-remaining-tokens", b"5"),
        (b"retry-after", b"3"),
        (b"age", b"1"),
    ]

    assert headers_for_others([*go, *stay]) == stay


@in_a_loop
async def test_a_kept_stream_waits_where_its_client_is_slow_and_keeps_its_cuts() -> None:
    class Slow:
        def __init__(self) -> None:
            self.pieces: list[bytes] = []
            self.waits = 0

        def write(self, data: bytes) -> None:
            self.pieces.append(data)

        @property
        def blocked(self) -> Awaitable[None] | None:
            if len(self.pieces) < 2:
                return None
            self.waits += 1
            return asyncio.sleep(0)

    reply, slow = reply_from(KEPT, [(b"age", b"5")]), Slow()
    assert reply.pour is not None
    await reply.pour(slow)

    assert (slow.pieces, slow.waits) == ([b"one", b"two", b"three"], 2)
    assert reply.headers == [(b"content-type", b"text/event-stream"), (b"age", b"5")]


def test_a_kept_whole_answer_is_one_body() -> None:
    kept = Kept(
        **{name: getattr(KEPT, name) for name in Kept.__struct_fields__} | {"streamed": False, "pieces": (b"{}",)}
    )

    reply = reply_from(kept, [])

    assert (reply.body, reply.pour) == (b"{}", None)
