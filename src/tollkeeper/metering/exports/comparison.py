"""Compares an export with the ledger, bucket by bucket and model by model, or request by request; pure."""

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence

from msgspec import Struct

from tollkeeper.metering.exports.lines import FIELDS, Line, unreadable

_DATED = re.compile(r"[-@](\d{4}-\d{2}-\d{2}|\d{8}|\d{4})$")
Span = tuple[int, int]


class Ours(Struct, frozen=True, kw_only=True):
    """What the ledger has of one minute and model, or of one request."""

    at: int
    """Unix milliseconds of the minute's beginning, or of the request's."""
    model: str | None
    """As it was asked of the provider."""
    model_used: str | None
    request_id: str | None = None
    requests: int = 0
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    cost_nano: int = 0
    unpriced: int = 0
    """Attempts whose cost is unknown: not in `cost_nano`."""
    estimated: int = 0
    """Attempts whose tokens the provider did not tell: counted, or found open after a crash."""


class Difference(Struct, frozen=True):
    """One figure. Money is nano-USD."""

    field: str
    ours: int
    theirs: int
    within: bool
    """Whether that is within the tolerance."""

    @property
    def difference(self) -> int:
        return self.ours - self.theirs


class Compared(Struct, frozen=True, kw_only=True):
    """One line of the export and what the ledger has for it; `missing` where only one side has anything."""

    start: int
    end: int | None
    model: str | None
    request_id: str | None
    figures: list[Difference]
    unpriced: int
    estimated: int
    missing: str | None
    """"theirs": the export has nothing; "ours": the ledger has nothing."""

    @property
    def within(self) -> bool:
        return all(figure.within for figure in self.figures)


class _Cell:
    """The figures of one span and model, or of one request, both sides."""

    __slots__ = ("estimated", "model", "ours", "seen", "theirs", "unpriced", "written")

    def __init__(self, model: str | None, written: str | None = None) -> None:
        self.model = model
        self.written = written
        """How the export writes the request's id."""
        self.theirs: dict[str, int] = {}
        self.ours = dict.fromkeys(FIELDS, 0)
        self.unpriced = self.estimated = 0
        self.seen = False

    def add_theirs(self, line: Line) -> None:
        for field in FIELDS:
            value = getattr(line, field)
            if value is not None:
                self.theirs[field] = self.theirs.get(field, 0) + value

    def add_ours(self, ours: Ours) -> None:
        self.seen = True
        for field in FIELDS:
            self.ours[field] += getattr(ours, field)
        self.unpriced += ours.unpriced
        self.estimated += ours.estimated

    def compared(self, start: int, end: int | None, request_id: str | None, told: set[str], percent: float) -> Compared:
        fields = [field for field in FIELDS if field in (self.theirs or told)]
        figures = [_figure(field, self.ours, self.theirs.get(field, 0), percent) for field in fields]
        missing = "theirs" if not self.theirs else "ours" if not self.seen else None
        if missing == "ours" and request_id is not None:
            request_id = self.written or request_id  # by which it is found in the export
        return Compared(
            start=start,
            end=end,
            model=self.model,
            request_id=request_id,
            figures=figures,
            unpriced=self.unpriced,
            estimated=self.estimated,
            missing=missing,
        )


class Comparison:
    """First `theirs` for every line, then `span`, then `ours` for what the ledger has of that span, then `lines`.

    With lines of single requests: `ours` for each of `request_ids`, then for all that began within `stretch`.
    """

    def __init__(self, bucket_ms: int, percent: float) -> None:
        self._bucket_ms = bucket_ms
        self._percent = percent
        self._spans: dict[Span, dict[str | None, _Cell]] = {}
        self._requests: dict[str, tuple[int, _Cell]] = {}
        self._told: set[str] = set()
        self._starts: list[Span] = []
        self._first: int | None = None
        self._last: int | None = None

    def theirs(self, line: Line) -> None:
        """A line of the export. Raises CallerError where its time cannot be."""
        self._told.update(field for field in FIELDS if getattr(line, field) is not None)
        if line.request_id is not None:
            _, cell = self._requests.setdefault(line.request_id, (line.start, _Cell(line.model, line.request_written)))
            cell.add_theirs(line)
            return
        start, end = line.start, line.end
        if end is None:
            start -= start % self._bucket_ms
            end = start + self._bucket_ms
        if start >= end or start % 60_000 or end % 60_000:
            raise unreadable("a bucket begins or ends within a minute, or ends before it begins")
        cells = self._spans.setdefault((start, end), {})
        if not line.says_nothing:
            cells.setdefault(line.model, _Cell(line.model)).add_theirs(line)

    @property
    def span(self) -> Span | None:
        """From the first bucket's start to the last one's end; None where lines are of requests only."""
        self._starts = sorted(self._spans)
        for one, other in zip(self._starts, self._starts[1:], strict=False):
            if other[0] < one[1]:
                raise unreadable("its buckets overlap")
        return (self._starts[0][0], self._starts[-1][1]) if self._starts else None

    @property
    def request_ids(self) -> Sequence[str]:
        """Those that lines are of."""
        return list(self._requests)

    @property
    def stretch(self) -> Span | None:
        """When the first and the last began (Unix ms) of those requests that the ledger has, once it has told them."""
        return None if self._first is None or self._last is None else (self._first, self._last)

    def ours(self, ours: Ours) -> None:
        """What the ledger has of a minute, or of a request: one that the export names, or then one within `stretch`."""
        if ours.request_id is not None:
            self._request(ours.request_id, ours)
            return
        at = bisect_right(self._starts, (ours.at, 1 << 62)) - 1
        if at < 0 or ours.at >= self._starts[at][1]:
            return  # the export does not cover this minute
        cells = self._spans[self._starts[at]]
        name = _match(cells, ours)
        cells.setdefault(name, _Cell(name)).add_ours(ours)

    def _request(self, request_id: str, ours: Ours) -> None:
        found = self._requests.get(request_id)
        if found is None:
            if any(getattr(ours, field) for field in self._told):  # else no line of it is due
                cell = _Cell(ours.model_used or ours.model)
                cell.add_ours(ours)
                self._requests[request_id] = (ours.at, cell)
            return
        if not found[1].seen:
            found[1].add_ours(ours)
            self._first = ours.at if self._first is None else min(self._first, ours.at)
            self._last = ours.at if self._last is None else max(self._last, ours.at)

    def lines(self) -> Iterable[Compared]:
        """In order of time, then by model."""
        for start, end in self._starts:
            cells = self._spans[start, end]
            for name in sorted(cells, key=lambda name: name or ""):
                yield cells[name].compared(start, end, None, self._told, self._percent)
        for request_id, (at, cell) in self._requests.items():
            yield cell.compared(at, None, request_id, self._told, self._percent)

    def total(self, lines: Iterable[Compared]) -> list[Difference]:
        """The sums of both sides."""
        ours, theirs = dict.fromkeys(FIELDS, 0), dict.fromkeys(FIELDS, 0)
        for line in lines:
            for figure in line.figures:
                ours[figure.field] += figure.ours
                theirs[figure.field] += figure.theirs
        told = [field for field in FIELDS if field in self._told]
        return [_figure(field, ours, theirs[field], self._percent) for field in told]


def _figure(field: str, ours: dict[str, int], theirs: int, percent: float) -> Difference:
    """Costs may differ by a nano-dollar a request besides: each of ours is rounded to one."""
    mine = ours[field]
    allowed = max(mine, theirs) * percent / 100 + (ours["requests"] if field == "cost_nano" else 0)
    return Difference(field, mine, theirs, abs(mine - theirs) <= allowed)


def _match(cells: dict[str | None, _Cell], ours: Ours) -> str | None:
    """The export's name for a model: as the answer named it, as it was asked for, or either without a date."""
    if not cells:
        return ours.model_used or ours.model
    if None in cells:
        return None
    names = [name for name in (ours.model_used, ours.model) if name]
    for name in names:
        if name in cells:
            return name
    for name in names:
        plain = _plain(name)
        for theirs in cells:
            if theirs is not None and _plain(theirs) == plain:
                return theirs
    return names[0] if names else "-"


def _plain(name: str) -> str:
    return _DATED.sub("", name.lower())
