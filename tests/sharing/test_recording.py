"""A recording: everyone gets every piece at their own pace, memory is bounded, and a failure is everyone's."""

import asyncio
from collections.abc import Awaitable

import pytest

from kit.loops import in_a_loop
from tollkeeper.core.errors import UpstreamError
from tollkeeper.sharing.recording import WINDOW, Recording, Room


class Ear:
    """A sink that takes `most` bytes and is blocked until `take` is called."""

    def __init__(self, most: int | None = None) -> None:
        self.pieces: list[bytes] = []
        self._most = most
        self._untaken = 0
        self._taken: asyncio.Future[None] | None = None

    def write(self, data: bytes) -> None:
        self.pieces.append(data)
        self._untaken += len(data)

    @property
    def blocked(self) -> Awaitable[None] | None:
        if self._most is None or self._untaken < self._most:
            return None
        if self._taken is None:
            self._taken = asyncio.get_running_loop().create_future()
        return self._taken

    def take(self) -> None:
        self._untaken = 0
        taken, self._taken = self._taken, None
        if taken is not None:
            taken.set_result(None)


async def turns() -> None:
    """Lets every task go as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


def listening(recording: Recording, ear: Ear) -> asyncio.Task[None]:
    return asyncio.ensure_future(recording.pour(recording.listen(), ear))


@in_a_loop
async def test_everyone_gets_every_piece_whenever_they_came() -> None:
    recording = Recording(1000, Room(1000))
    ears = [Ear(), Ear(), Ear()]
    first = listening(recording, ears[0])
    recording.write(b"a")
    await turns()
    second = listening(recording, ears[1])
    recording.write(b"b")
    await turns()
    recording.write(b"")
    recording.write(b"c")
    recording.end()
    third = listening(recording, ears[2])
    await asyncio.gather(first, second, third)

    assert [ear.pieces for ear in ears] == [[b"a", b"b", b"c"]] * 3
    assert recording.pieces == (b"a", b"b", b"c")


@in_a_loop
async def test_one_who_has_all_there_is_gets_the_next_piece_at_once() -> None:
    recording, ear = Recording(1000, Room(1000)), Ear()
    task = listening(recording, ear)
    await turns()
    recording.write(b"a")

    assert ear.pieces == [b"a"]  # no task had a turn
    recording.end()
    await task


@in_a_loop
async def test_a_slow_one_does_not_hold_up_the_others_while_all_is_kept() -> None:
    recording, slow, quick = Recording(1000, Room(1000)), Ear(2), Ear()
    tasks = [listening(recording, slow), listening(recording, quick)]
    await turns()
    for piece in (b"aa", b"bb", b"cc"):
        recording.write(piece)
    recording.end()
    await turns()

    assert (slow.pieces, quick.pieces) == ([b"aa"], [b"aa", b"bb", b"cc"])
    assert recording.blocked is None
    for _ in range(3):
        slow.take()
        await turns()
    await asyncio.gather(*tasks)
    assert slow.pieces == quick.pieces


@in_a_loop
async def test_past_its_bound_it_forgets_what_all_have_and_the_slowest_sets_the_pace() -> None:
    room = Room(10_000_000)
    recording, slow, quick = Recording(1000, room), Ear(1), Ear()
    tasks = [listening(recording, slow), listening(recording, quick)]
    await turns()
    assert recording.whole
    piece = b"x" * (WINDOW // 4)
    sent = 0
    while recording.blocked is None:
        recording.write(piece)
        sent += 1

    assert not recording.whole
    assert sent <= 6
    assert room.used <= WINDOW + 2 * len(piece)
    waiting = asyncio.ensure_future(_until(recording.blocked))
    slow.take()
    await turns()
    slow.take()
    await turns()
    slow.take()
    await asyncio.wait_for(waiting, 30)
    recording.end()
    while not all(task.done() for task in tasks):
        slow.take()
        await turns()
    assert slow.pieces == quick.pieces == [piece] * sent


async def _until(blocked: Awaitable[None] | None) -> None:
    assert blocked is not None
    await blocked


@in_a_loop
async def test_with_nobody_listening_nothing_past_the_bound_is_kept() -> None:
    room = Room(10_000_000)
    recording = Recording(1000, room)
    for _ in range(100):
        recording.write(b"x" * 600)

    assert room.used == 0
    assert recording.blocked is None


@in_a_loop
async def test_one_who_has_asked_but_not_begun_loses_nothing() -> None:
    recording, ear = Recording(10, Room(1000)), Ear()
    listener = recording.listen()
    for number in range(10):
        recording.write(b"%d--------" % number)
    recording.end()
    await recording.pour(listener, ear)

    assert ear.pieces == [b"%d--------" % number for number in range(10)]


@in_a_loop
async def test_one_who_leaves_is_not_waited_for() -> None:
    recording, ear = Recording(1000, Room(10_000_000)), Ear(1)
    task = listening(recording, ear)
    await turns()
    while recording.blocked is None:
        recording.write(b"x" * WINDOW)
    task.cancel()
    await turns()

    assert recording.blocked is None


@in_a_loop
async def test_all_recordings_together_are_bounded() -> None:
    room = Room(1000)
    one, two = Recording(900, room), Recording(900, room)
    one.write(b"x" * 800)
    two.write(b"x" * 150)
    assert (one.whole, two.whole) == (True, True)
    two.write(b"x" * 100)

    assert (one.whole, two.whole) == (True, False)
    one.end()
    two.end()
    assert room.used == 0


@in_a_loop
async def test_a_failure_comes_to_everyone_after_the_last_piece() -> None:
    recording, early, late = Recording(1000, Room(1000)), Ear(), Ear()
    tasks = [listening(recording, early)]
    recording.write(b"a")
    await turns()
    recording.end(UpstreamError("cut"))
    tasks.append(listening(recording, late))

    for task in tasks:
        with pytest.raises(UpstreamError):
            await task
    assert early.pieces == late.pieces == [b"a"]
