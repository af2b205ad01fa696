"""Events reach metrics and log together, in order, and each once."""

from collections.abc import Callable

from kit import records
from tollkeeper.core.events import Event
from tollkeeper.telemetry.observing import Observing


def test_the_events_of_a_moment_are_handed_on_together_in_order_and_once() -> None:
    seen: list[object] = []
    due: list[Callable[[], None]] = []
    observing = Observing((lambda event: seen.append(event),), lambda: seen.append("end"), due.append)
    first, second, third = (records.event() for _ in range(3))

    observing(first)
    observing(second)
    assert (seen, len(due)) == ([], 1)
    due.pop()()
    observing(third)
    due.pop()()

    assert seen == [first, second, "end", third, "end"]


def test_what_arrives_while_they_are_handed_on_is_of_the_next_portion() -> None:
    seen: list[Event] = []
    due: list[Callable[[], None]] = []
    late = records.event()

    def observer(event: Event) -> None:
        seen.append(event)
        if event is not late:
            observing(late)

    observing = Observing((observer,), lambda: None, due.append)
    observing(records.event())
    due.pop(0)()
    assert (late in seen, len(due)) == (False, 1)
    due.pop(0)()
    assert seen[-1] is late
