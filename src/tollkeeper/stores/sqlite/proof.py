"""Proves the ledger: what it says of itself is made again from its parts, and what does not come out the same is named.

1. The file:    SQLite finds no broken page, index or constraint.
2. The holds:   none outlived its attempt, none stands beside an event of the same attempt.
3. The events:  no attempt of a request is missing, no number is below zero, and each cost is its tokens times the unit
                prices that were noted when it ended.
4. The sums:    what outlives the events equals the events, hour by hour, and days and months equal their hours.
5. The budgets: what is shown as spent equals the events, window by window, and at no admission was a budget exceeded.

Everything is read as of one moment. Memory is bounded by what goes on side by side, not by the ledger's length.
"""

import sqlite3
from collections.abc import Callable, Iterator
from functools import lru_cache
from heapq import heappop, heappush
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from tollkeeper.core import past, receipt
from tollkeeper.core.budget import Slice
from tollkeeper.core.money import Price
from tollkeeper.core.past import Past, Spending
from tollkeeper.core.replay import Replay
from tollkeeper.core.usage import Usage
from tollkeeper.stores.sqlite import clock, database, resumming
from tollkeeper.stores.sqlite.balances import summed
from tollkeeper.stores.sqlite.rows import MOST

Progress = Callable[[str, int, int], None]
"""(what is looked at, how far, of how much): told now and then."""

_SHOWN = 200
"""Problems that are named one by one; more are counted."""
_WINDOWS = 1000
"""Windows of budgets that are told of one by one, the last to end."""
_OFTEN = 5000
_UPSIDE = 10_000
"""Milliseconds by which an attempt's start may lie before the time in its request's id, clocks being what they are."""


class _Event(NamedTuple):
    """What is read of an event."""

    request_id: str
    attempt: int
    started_at: int
    key_id: str
    owner: str | None
    team: str | None
    quality: str
    duration_ms: float
    trace: str | None
    cost_nano: int | None
    tokens: tuple[int, ...]
    """By kind, as `Usage` has them."""


_COLUMNS = _Event._fields[:-1]
_TOKENS = Usage.__struct_fields__
_INPUT, _OUTPUT = _TOKENS.index("input_tokens"), _TOKENS.index("output_tokens")


class Costs(Struct):
    """How many events' costs are what."""

    made_again: int = 0
    """Tokens times the noted unit prices gave the very cost."""
    nothing: int = 0
    """Nothing was charged for."""
    unpriced: int = 0
    without_prices: int = 0
    """Their unit prices were not noted: they were charged in other units than tokens."""


class Proof(Struct, kw_only=True):
    """What was looked at and what was found."""

    problems: list[str] = []
    more_problems: int = 0
    events: int = 0
    """With their detail; `totals` of the reports has those whose detail is deleted, too."""
    open_holds: int = 0
    costs: Costs = msgspec.field(default_factory=Costs)
    hours: int = 0
    """Whose sums were compared with their events."""
    kept_from: int = 0
    """Unix milliseconds: of what began before, only sums are there."""
    admissions: int = 0
    """Moments at which a budget admitted an attempt."""
    windows: list[Spending] = []
    more_windows: int = 0
    overdrafts: list[str] = []
    more_overdrafts: int = 0

    @property
    def sound(self) -> bool:
        return not self.problems

    def problem(self, words: str) -> None:
        """Something that does not come out."""
        if len(self.problems) < _SHOWN:
            self.problems.append(words)
        else:
            self.more_problems += 1

    def overdraft(self, words: str) -> None:
        """An attempt that cost more than was foreseen."""
        if len(self.overdrafts) < _SHOWN:
            self.overdrafts.append(words)
        else:
            self.more_overdrafts += 1


def no_progress(what: str, done: int, of: int) -> None:
    """Nobody watches."""


def prove(home: Path, now_ms: int, progress: Progress = no_progress) -> Proof:
    """Goes through it all; what cannot be read to its end is a problem, too. Raises GateError where there is no store."""
    proof = Proof()
    reader = database.connect(home, create=False)
    try:
        reader.execute("PRAGMA query_only = ON")
        reader.execute("BEGIN")
        _file(reader, proof, progress)
        _holds(reader, proof, now_ms)
        _events(reader, proof, progress)
        resumming.compare(reader, proof.kept_from, proof.problem, lambda done, of: progress("sums", done, of))
        [(proof.hours,)] = reader.execute("SELECT count(*) FROM hours WHERE start >= ?", (proof.kept_from,))
    except sqlite3.DatabaseError as error:
        proof.problem(f"SQLite: {error}")
    finally:
        reader.close()
    return proof


def _file(reader: sqlite3.Connection, proof: Proof, progress: Progress) -> None:
    [(proof.kept_from,)] = reader.execute("SELECT kept_from FROM detail")  # a snapshot begins with its first read
    progress("file", 0, 1)
    said = "\n".join(row[0] for row in reader.execute("PRAGMA integrity_check")).splitlines()
    for line in said:
        if line != "ok" and not line.startswith("***"):
            proof.problem(f"SQLite: {line}")
    progress("file", 1, 1)


def _holds(reader: sqlite3.Connection, proof: Proof, now_ms: int) -> None:
    [(proof.open_holds,)] = reader.execute("SELECT count(*) FROM holds")
    for words, query, values in (
        ("{} holds outlived their attempts", "SELECT count(*) FROM holds WHERE expires_at < ?", (now_ms,)),
        (
            "{} attempts have both a hold and an event",
            "SELECT count(*) FROM holds JOIN events USING (request_id, attempt)",
            (),
        ),
        (  # callers of routes who have no key of the gate's are named route:ID or consumer:NAME
            "{} events are of keys that never were",
            "SELECT count(*) FROM events WHERE key_id NOT IN (SELECT id FROM keys)"
            " AND key_id NOT GLOB 'route:*' AND key_id NOT GLOB 'consumer:*'",
            (),
        ),
    ):
        [(count,)] = reader.execute(query, values)
        if count:
            proof.problem(words.format(count))


def _events(reader: sqlite3.Connection, proof: Proof, progress: Progress) -> None:
    [(total,)] = reader.execute("SELECT count(*) FROM events")
    ids = _budget_ids(reader)
    replay = Replay(ids, proof.kept_from, proof.problem, proof.overdraft, lambda found: _window(reader, proof, found))
    disturbed = clock.disturbed(reader)
    negative = unmarked = 0
    waiting: list[tuple[int, int, Past]] = []
    request_id, attempts = "", 0
    for event in _every(reader):
        proof.events += 1
        if proof.events % _OFTEN == 0:
            progress("events", proof.events, total)
        if event.request_id != request_id:
            request_id, attempts = event.request_id, 0
        attempts += 1
        if event.attempt != attempts and _made_at(event) >= proof.kept_from:
            _gap(reader, proof, event, attempts)
            attempts = event.attempt
        negative += min(event.tokens) < 0 or (event.cost_nano or 0) < 0
        unmarked += (event.cost_nano is None) != (event.quality == "unpriced") and event.quality != "recovered"
        notes: list[Any] = _notes(proof, event)
        _cost(proof, event, notes)
        if ids:
            heappush(waiting, (event.started_at, proof.events, _past(event, notes, disturbed)))
            moment = _made_at(event) - _UPSIDE
            while waiting and waiting[0][0] < moment:
                replay.feed(heappop(waiting)[2])
    while waiting:
        replay.feed(heappop(waiting)[2])
    replay.finish()
    progress("events", total, total)
    if negative:
        proof.problem(f"{negative} events have a number below zero")
    if unmarked:
        proof.problem(f"{unmarked} events lack a price and are not marked unpriced")


def _every(reader: sqlite3.Connection) -> Iterator[_Event]:
    first = len(_COLUMNS)
    for row in reader.execute(f"SELECT {', '.join((*_COLUMNS, *_TOKENS))} FROM events ORDER BY request_id, attempt"):
        yield _Event._make((*row[:first], row[first:]))


def _budget_ids(reader: sqlite3.Connection) -> list[str]:
    """The budgets that any attempt's notes name."""
    found: set[str] = set()
    for (trace,) in reader.execute("""SELECT trace FROM events WHERE instr(trace, '["budget",')"""):
        found.update(note[1] for note in _decoded(trace) if note[0] == "budget")
    return sorted(found)


def _decoded(trace: str | None) -> list[Any]:
    """The notes; none where that is no list of notes."""
    try:
        return msgspec.json.decode(trace, type=list[list[Any]]) if trace else []
    except msgspec.DecodeError:
        return []


def _notes(proof: Proof, event: _Event) -> list[Any]:
    notes = _decoded(event.trace)
    if event.trace and not notes and event.trace != "[]":
        proof.problem(f"{_named(event)}: its notes cannot be read")
    return notes


def _gap(reader: sqlite3.Connection, proof: Proof, event: _Event, expected: int) -> None:
    for attempt in range(expected, event.attempt):
        place = (event.request_id, attempt)
        if not reader.execute("SELECT 1 FROM holds WHERE request_id = ? AND attempt = ?", place).fetchone():
            proof.problem(f"{event.request_id}:{attempt} has no event, though {event.attempt} has one")


def _cost(proof: Proof, event: _Event, notes: list[Any]) -> None:
    costs, cost = proof.costs, event.cost_nano
    prices = [note for note in notes if note[0] == receipt.NOTE]
    if cost is None:
        costs.unpriced += 1
    elif cost == 0 and not any(event.tokens):
        costs.nothing += 1
    elif not prices or prices[-1][1:] == [None] or cost == MOST or MOST in event.tokens:
        costs.without_prices += 1
    else:
        try:
            price = _noted(tuple(prices[-1]))
        except (ValueError, TypeError) as error:
            proof.problem(f"{_named(event)}: {error}")
            return
        made = cost if price is None else price.cost(Usage(**dict(zip(_TOKENS, event.tokens, strict=True))))
        costs.made_again += made == cost
        if made != cost:
            proof.problem(f"{_named(event)} cost {cost} nano-USD; its tokens at the noted prices make {made}")


@lru_cache(4096)
def _noted(note: tuple[object, ...]) -> Price | None:
    return receipt.noted(note, "")


def _past(event: _Event, notes: list[Any], disturbed: list[tuple[int, int]]) -> Past:
    return Past(
        request_id=event.request_id,
        attempt=event.attempt,
        start=event.started_at,
        end=event.started_at + event.duration_ms,
        key_id=event.key_id,
        owner=event.owner,
        team=event.team,
        nano=event.cost_nano or 0,
        tokens=event.tokens[_INPUT] + event.tokens[_OUTPUT],
        crashed=event.quality == "recovered",
        noted=past.noted(notes),
        late=past.late(notes) or any(since <= event.started_at < until for since, until in disturbed),
    )


def _window(reader: sqlite3.Connection, proof: Proof, found: Spending) -> None:
    """One window of one budget: what is shown of it comes from the sums, what was found from the events."""
    proof.admissions += found.admitted
    shown = summed(reader, Slice(found.scope, found.of, found.start, found.end))
    spent = shown.nano if found.unit == "usd" else shown.tokens
    if found.start >= proof.kept_from and spent != found.spent:
        unit = "nano-USD" if found.unit == "usd" else "tokens"
        proof.problem(
            f"{found.id} from {found.start}: {spent} {unit} are shown as spent, its events make {found.spent}"
        )
    proof.windows.append(found)
    if len(proof.windows) > _WINDOWS:
        del proof.windows[0]
        proof.more_windows += 1


def _made_at(event: _Event) -> int:
    """When its request's id was made, which begins with that; no later one has an attempt that began before."""
    try:
        return int(event.request_id[:12], 16)
    except ValueError:
        return 0


def _named(event: _Event) -> str:
    return f"{event.request_id}:{event.attempt}"
