"""Tickets open one socket, soon, for the key that they were made for."""

from kit.loops import in_a_loop
from kit.sessions import KEY
from tollkeeper.sockets.tickets import MemoryTickets


@in_a_loop
async def test_a_ticket_is_good_once_and_for_its_time() -> None:
    now = 0.0
    drawn = iter(range(100))
    tickets = MemoryTickets(lambda: now, lambda size: bytes([next(drawn)]) * size, lambda: 30.0)
    first, seconds = await tickets.issue(KEY)
    second, _ = await tickets.issue(KEY)

    assert seconds == 30.0
    assert first != second
    assert first.startswith("tt-")
    assert await tickets.redeem(first) is KEY
    assert await tickets.redeem(first) is None
    assert await tickets.redeem("tt-guess") is None
    now = 30.1
    assert await tickets.redeem(second) is None


@in_a_loop
async def test_tickets_that_nobody_uses_are_forgotten() -> None:
    now = 0.0
    drawn = iter(range(256))
    tickets = MemoryTickets(lambda: now, lambda size: bytes([next(drawn)]) * size, lambda: 1.0)
    for _ in range(200):
        await tickets.issue(KEY)
        now += 1.0

    assert len(tickets._unused) <= 3
