"""A conversation's rules, without a transport."""

import asyncio

from kit.loops import in_a_loop
from kit.sessions import Talk
from tollkeeper.core.errors import CallerError
from tollkeeper.core.limits import SocketLimits
from tollkeeper.sockets.asking import Ask, Listener
from tollkeeper.sockets.options import SocketOptions


async def forever(ask: Ask, listener: Listener) -> None:
    listener.start(None)
    await asyncio.Event().wait()


async def broken(ask: Ask, listener: Listener) -> None:
    raise ZeroDivisionError


async def refusing(ask: Ask, listener: Listener) -> None:
    raise CallerError("No.", code="no")


def types(frames: list[dict[str, object]]) -> list[object]:
    return [frame["type"] for frame in frames]


@in_a_loop
async def test_an_action_is_answered_by_what_it_speaks_to() -> None:
    one = Talk(other=refusing)
    one.say(data="hello", id=7)
    one.say("other", data=1, id="x")
    frames = await one.settled()

    assert [frame["type"] for frame in frames if frame["id"] == "7"] == ["start", "delta", "done"]
    assert [frame["error"]["code"] for frame in frames if frame["id"] == "x"] == ["no"]


@in_a_loop
async def test_an_unknown_action_goes_to_the_default_where_there_is_one() -> None:
    one = Talk(options=SocketOptions(default="sendmessage"))
    one.say("anything", data="hello")
    one.say(None, data="hello")

    assert types(await one.settled()).count("done") == 2


@in_a_loop
async def test_what_breaks_inside_is_logged_and_told_without_its_words() -> None:
    one = Talk(broken=broken)
    one.say("broken", data="hello")
    [frame] = await one.settled()

    assert frame["error"]["code"] == "internal_error"
    assert "Zero" not in frame["error"]["message"]
    assert isinstance(one.errors[0], ZeroDivisionError)


@in_a_loop
async def test_a_client_that_leaves_leaves_every_answer_and_hears_no_more() -> None:
    async def waits(ask: Ask, listener: Listener) -> None:
        gone = asyncio.Event()
        ask.presence.on_leave(gone.set)
        await gone.wait()
        listener.text("too late")

    one = Talk(waits=waits)
    one.say("waits", data=1)
    one.say("waits", data=2)
    await asyncio.sleep(0)
    assert one.session.busy
    one.session.leave()

    assert await one.settled() == []
    assert not one.session.busy


@in_a_loop
async def test_cancel_without_an_id_cancels_all() -> None:
    one = Talk(waits=forever)
    one.say("waits", data=1, id="a")
    one.say("waits", data=1, id="b")
    await asyncio.sleep(0)
    one.say("cancel")

    assert [frame["id"] for frame in one.paper.frames if frame.get("reason") == "cancelled"] == ["a", "b"]
    ending = asyncio.ensure_future(one.session.ended())
    await asyncio.sleep(0)
    ending.cancel()
    await asyncio.wait([ending])


@in_a_loop
async def test_too_many_messages_are_refused_and_twice_as_many_close_the_socket() -> None:
    one = Talk(options=SocketOptions(limits=SocketLimits(messages_per_minute=2)))
    for _ in range(4):
        one.say("forget")
    assert types(one.paper.frames) == ["error", "error"]
    assert one.closed == []
    one.say("forget")
    assert one.closed[0][0] == 1008

    one.now = 31.0
    one.say("forget")
    assert len(one.paper.frames) == 3


@in_a_loop
async def test_a_stopping_gate_begins_nothing_and_closes_after_what_is_under_way() -> None:
    go = asyncio.Event()

    async def waits(ask: Ask, listener: Listener) -> None:
        await go.wait()
        listener.text("done")

    one = Talk(waits=waits)
    one.say("waits", data=1)
    await asyncio.sleep(0)
    one.session.stop()
    one.say(data="more")
    assert one.paper.frames[-1]["error"]["code"] == "shutting_down"
    assert one.closed == []
    go.set()
    assert types(await one.settled())[-2:] == ["delta", "done"]
    await asyncio.sleep(0)
    assert one.closed[0][0] == 1001


@in_a_loop
async def test_the_text_format_ends_an_answer_as_the_config_says() -> None:
    one = Talk("text", SocketOptions(end="[END]"))
    one.say(data="a")
    await asyncio.wait_for(one.session.ended(), 30)

    assert one.paper.written == ['"a"', "[END]"]
