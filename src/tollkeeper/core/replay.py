"""Goes through a ledger's past moment by moment and says whether any budget was ever exceeded; pure.

Every attempt that budgets were asked for has their numbers in its notes. Here they are made again from the events alone: at
the moment an attempt was admitted, what had been spent is the sum of the events that had ended, what was held is the sum of
the ceilings of those under way. Times are known to the millisecond, and a start is rounded down, so what happened within a
few milliseconds has no order. Only what is certain is held against the log: spent is what had surely ended, held is what
had surely begun and had surely not ended. So whatever is found here did happen.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from heapq import heappop, heappush

from tollkeeper.core import windows
from tollkeeper.core.budget import FOREVER, Scope, Unit
from tollkeeper.core.moment import TOGETHER
from tollkeeper.core.past import Noted, Past, Spending
from tollkeeper.core.windows import Window

_ROUNDED = 1 + 1000 * TOGETHER
"""Milliseconds that an end lies later than its record says at most, a start being rounded down."""
_LATE = 5
"""Milliseconds from an attempt's start to the moment at which its budgets are looked into, at most, ..."""
_OPENING = 2000
"""... but when they are looked into for the first time: then what was spent is read from the ledger before."""


class _Purse:
    __slots__ = (
        "admitted", "amount", "begun", "crashed", "end", "live", "open", "overdrafts", "overdrawn",
        "partial", "peak", "peak_at", "perhaps", "spent", "start", "sure",
    )  # fmt: skip

    def __init__(self, start: int, end: int, partial: bool) -> None:
        self.start = start
        self.end = end
        self.partial = partial
        self.amount = self.admitted = self.spent = self.peak = self.peak_at = self.overdrafts = self.overdrawn = 0
        self.sure = self.perhaps = self.live = self.begun = self.open = 0
        self.crashed = False


class _Line:
    """One budget, by its id."""

    __slots__ = ("current", "id", "of", "purses", "scope", "unit", "window", "zone")

    def __init__(self, id: str) -> None:
        scope, *of, unit, window, zone = id.split(":")
        self.id = id
        self.scope: Scope = scope  # type: ignore[assignment]
        self.of = ":".join(of) if of else None
        self.unit: Unit = unit  # type: ignore[assignment]
        self.window: Window = window  # type: ignore[assignment]
        self.zone = zone
        self.purses: dict[int, _Purse] = {}
        self.current: _Purse | None = None


class _Part:
    """What one event is to one budget."""

    __slots__ = ("cost", "noted", "purse", "share")

    def __init__(self, purse: _Purse, cost: int, noted: Noted | None) -> None:
        self.purse = purse
        self.cost = cost
        self.noted = noted
        self.share = 0 if noted is None else noted.share


_Heap = list[tuple[float, int, list[_Part]]]


class Replay:
    """Feed events in the order in which they began, then `finish`. `problem` is told what cannot be, `over` each window."""

    def __init__(
        self,
        ids: Iterable[str],
        kept_from: int,
        problem: Callable[[str], None],
        overdraft: Callable[[str], None],
        over: Callable[[Spending], None],
    ) -> None:
        self._kept_from = kept_from
        self._problem = problem
        self._overdraft = overdraft
        self._over = over
        self._lines: dict[tuple[str, str | None], list[_Line]] = {}
        for id in ids:
            line = _Line(id)
            self._lines.setdefault((line.scope, line.of), []).append(line)
        self._waiting: deque[tuple[Past, list[_Part]]] = deque()
        self._young: deque[tuple[Past, list[_Part]]] = deque()
        self._number = 0
        # Ends, each looked at from another moment: surely over, perhaps over, about to be over.
        self._sure: _Heap = []
        self._perhaps: _Heap = []
        self._live: _Heap = []
        self._begun: _Heap = []

    def feed(self, past: Past) -> None:
        """The next event."""
        waiting = self._waiting
        while waiting and waiting[0][0].start < past.start - _LATE - _ROUNDED:
            self._moment()
        parts = self._parts(past)
        if not parts:
            return
        if not past.crashed:
            self._push(self._perhaps, past, parts)
        waiting.append((past, parts))

    def finish(self) -> None:
        """There are no more."""
        while self._waiting:
            self._moment()
        for lines in self._lines.values():
            for line in lines:
                for purse in line.purses.values():
                    self._tell(line, purse)
                line.purses.clear()

    def _parts(self, past: Past) -> list[_Part]:
        shares = {noted.id: noted for noted in past.noted}
        found: list[_Part] = []
        for of in (("all", None), ("team", past.team), ("owner", past.owner), ("key", past.key_id)):
            for line in self._lines.get(of, ()):
                purse = self._purse(line, past.start)
                cost = past.nano if line.unit == "usd" else past.tokens
                part = _Part(purse, cost, shares.get(line.id))
                purse.spent += cost
                if past.crashed:
                    purse.crashed = True
                else:
                    purse.open += 1
                if part.noted is not None:
                    self._admitted(past, part, part.noted)
                found.append(part)
        return found

    def _admitted(self, past: Past, part: _Part, noted: Noted) -> None:
        purse = part.purse
        purse.amount = noted.amount
        purse.admitted += 1
        over = part.cost - noted.ceiling
        if over > 0:
            purse.overdrafts += 1
            purse.overdrawn += over
            self._overdraft(f"{_named(past)} cost {over} {_unit(noted)} more than its ceiling in {noted.id}")

    def _purse(self, line: _Line, at: int) -> _Purse:
        purse = line.current
        if purse is not None and purse.start <= at < purse.end:
            return purse
        start, end = windows.bounds(line.window, line.zone, at)
        purse = line.purses.get(start)
        if purse is None:
            for old in [old for old in line.purses.values() if not old.open]:
                self._tell(line, old)
                del line.purses[old.start]
            purse = line.purses[start] = _Purse(start, FOREVER if end is None else end, start < self._kept_from)
        line.current = purse
        return purse

    def _moment(self) -> None:
        """All that began in one millisecond."""
        waiting = self._waiting
        at = waiting[0][0].start
        group = []
        while waiting and waiting[0][0].start == at:
            group.append(waiting.popleft())
        for parts in _ended(self._sure, at - _ROUNDED):
            for part in parts:
                part.purse.sure += part.cost
                part.purse.open -= 1
        for parts in _ended(self._perhaps, at + _LATE + _ROUNDED):
            for part in parts:
                part.purse.perhaps += part.cost
        while self._young and self._young[0][0].start < at - _OPENING:
            past, parts = self._young.popleft()
            self._push(self._begun, past, parts)
            for part in parts:
                part.purse.begun += part.share
            if past.late:
                self._goes_on(past, parts)
        for parts in _ended(self._live, at + 2 * _ROUNDED):
            for part in parts:
                part.purse.live -= part.share
        for parts in _ended(self._begun, at + 2 * _ROUNDED):
            for part in parts:
                part.purse.begun -= part.share
        for past, parts in group:
            for part in parts:
                if part.noted is not None:
                    self._compare(past, part.purse, part.noted)
        for past, parts in group:
            if not past.crashed:
                self._push(self._sure, past, parts)
            if not past.crashed and past.end > at + 2 * _ROUNDED:
                self._young.append((past, parts))
                if not past.late:
                    self._goes_on(past, parts)
        for past, parts in group:
            for part in parts:
                if part.noted is not None and not past.late:
                    self._weigh(past, part.purse, part.noted)

    def _goes_on(self, past: Past, parts: list[_Part]) -> None:
        self._push(self._live, past, parts)
        for part in parts:
            part.purse.live += part.share

    def _push(self, heap: _Heap, past: Past, parts: list[_Part]) -> None:
        self._number += 1
        heappush(heap, (past.end, self._number, parts))

    def _compare(self, past: Past, purse: _Purse, noted: Noted) -> None:
        """What the rule noted with what the log has."""
        name, unit = _named(past), _unit(noted)
        if noted.spent + noted.held + noted.share > noted.amount:
            self._problem(
                f"{name} was admitted by {noted.id} of {noted.amount} {unit}, of which {noted.spent} were spent and "
                f"{noted.held} held, though it may cost {noted.share}"
            )
        if noted.spent < purse.sure and not past.late:
            self._problem(f"{name}: {noted.id} had {noted.spent} {unit} as spent where the log has {purse.sure}")
        unknown = past.late or purse.partial or purse.crashed
        if noted.spent > purse.perhaps and not unknown:
            self._problem(
                f"{name}: {noted.id} had {noted.spent} {unit} as spent where the log has {purse.perhaps}: an event is "
                "missing, or the clock was set"
            )
        if noted.held < purse.begun and not past.late:
            self._problem(f"{name}: {noted.id} had {noted.held} {unit} as held where the log has {purse.begun}")

    def _weigh(self, past: Past, purse: _Purse, noted: Noted) -> None:
        total = purse.sure + purse.live
        if total > purse.peak:
            purse.peak, purse.peak_at = total, past.start
        if total > noted.amount:
            self._problem(
                f"{_named(past)}: with it {purse.sure} {_unit(noted)} were spent and {purse.live} held in {noted.id} of "
                f"{noted.amount}: it was exceeded"
            )

    def _tell(self, line: _Line, purse: _Purse) -> None:
        self._over(
            Spending(
                id=line.id,
                scope=line.scope,
                of=line.of,
                unit=line.unit,
                start=purse.start,
                end=purse.end,
                amount=purse.amount,
                admitted=purse.admitted,
                spent=purse.spent,
                peak=purse.peak,
                peak_at=purse.peak_at,
                overdrafts=purse.overdrafts,
                overdrawn=purse.overdrawn,
            )
        )


def _ended(heap: _Heap, moment: float) -> Iterator[list[_Part]]:
    while heap and heap[0][0] <= moment:
        yield heappop(heap)[2]


def _named(past: Past) -> str:
    return f"{past.request_id}:{past.attempt}"


def _unit(noted: Noted) -> str:
    return "nano-USD" if noted.unit == "usd" else "tokens"
