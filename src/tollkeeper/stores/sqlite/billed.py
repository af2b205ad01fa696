"""What a provider was asked for, as it would bill it: by minute and by its own names of models, or request by request."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct

from tollkeeper.core.errors import CallerError
from tollkeeper.stores.sqlite import database

_FIGURES = (
    "count(*) FILTER (WHERE status BETWEEN 200 AND 299), sum(input_tokens), sum(cached_input_tokens), sum(output_tokens),"
    " coalesce(sum(cost_nano), 0), sum(cost_nano IS NULL), sum(quality IN ('counted', 'recovered') AND cost_nano > 0)"
)
_LONGEST_UPLOAD = 86_400_000
"""Milliseconds between a request's id and its first attempt."""


class Billed(Struct, frozen=True):
    """Sums of attempts at one provider."""

    at: int
    """Unix milliseconds."""
    model: str | None
    model_used: str | None
    requests: int
    """Those that the provider answered well."""
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    cost_nano: int
    unpriced: int
    estimated: int
    """Attempts with a cost whose tokens the provider did not tell."""


class Bills:
    """Reads them, all as of one moment."""

    def __init__(self, home: Path) -> None:
        self._reader = database.connect(home, create=False)
        self._reader.execute("PRAGMA query_only = ON")
        self._reader.execute("BEGIN")

    def close(self) -> None:
        self._reader.close()

    def providers(self) -> list[str]:
        """All that were ever asked."""
        return [row[0] for row in self._reader.execute("SELECT DISTINCT provider FROM events ORDER BY provider")]

    def by_minute(self, provider: str, since: int, until: int) -> Iterator[Billed]:
        """Attempts that began in [since, until) (Unix ms). Raises CallerError where their detail is deleted."""
        [(kept_from,)] = self._reader.execute("SELECT kept_from FROM detail")
        if since < kept_from:
            raise CallerError(
                "The export begins before the detail that is kept: of what is older than [ledger] keep_detail_days, only "
                "sums are there.",
                code="invalid_value",
                param="export",
            )
        query = (
            f"SELECT started_at - started_at % 60000, model, model_used, {_FIGURES} FROM events"
            " WHERE provider = ? AND outcome <> 'cached' AND request_id >= ? AND started_at >= ? AND started_at < ?"
            " GROUP BY 1, 2, 3 ORDER BY 1"
        )
        for row in self._reader.execute(query, (provider, f"{max(0, since - _LONGEST_UPLOAD):012x}", since, until)):
            yield Billed(*row)

    def by_request(self, provider: str, request_ids: Sequence[str]) -> Iterator[tuple[str, Billed]]:
        """Each request that the provider was asked for."""
        query = (
            f"SELECT min(started_at), model, model_used, {_FIGURES} FROM events"
            " WHERE request_id = ? AND provider = ? AND outcome <> 'cached' GROUP BY request_id"
        )
        for request_id in request_ids:
            for row in self._reader.execute(query, (request_id, provider)):
                yield request_id, Billed(*row)

    def between(self, provider: str, first: int, last: int) -> Iterator[tuple[str, Billed]]:
        """Each request that the provider was asked for in attempts that began in [first, last] (Unix ms)."""
        query = (
            f"SELECT request_id, min(started_at), model, model_used, {_FIGURES} FROM events"
            " WHERE provider = ? AND outcome <> 'cached' AND request_id >= ? AND started_at BETWEEN ? AND ?"
            " GROUP BY request_id"
        )
        for row in self._reader.execute(query, (provider, f"{max(0, first - _LONGEST_UPLOAD):012x}", first, last)):
            yield row[0], Billed(*row[1:])
