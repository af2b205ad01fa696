"""The ledger's two records: a hold, written before an attempt is sent, and an event, written when it ended."""

from typing import Literal

from msgspec import Struct

from tollkeeper.core.usage import Usage

Quality = Literal["reported", "counted", "recovered", "unpriced"]
"""reported: the provider said so; counted: we counted, it did not; recovered: found open after a crash;
unpriced: no price is known for it, so its cost is unknown, not zero."""

Outcome = Literal[
    "ok", "error", "upstream_error", "upstream_cut", "client_left", "gate_stopped", "budget_spent", "cached", "unknown"
]
"""ok: whole answer; error: the provider refused (4xx, or an error in a stream), or what the caller sent broke off;
upstream_error: it failed or could not be reached; upstream_cut: its answer broke off, stalled or was garbled; client_left:
the caller went away; gate_stopped: the gate ended first; budget_spent: a stream was stopped at the end of a budget; cached:
answered from the cache, no provider was asked; unknown: found open after a crash."""


class Hold(Struct, frozen=True, array_like=True):
    """One attempt, about to be sent. Its row is on disk before the first byte goes to the provider."""

    request_id: str
    attempt: int
    started_at: int
    expires_at: int
    key_id: str
    owner: str | None
    team: str | None
    operation: str
    dialect: str
    model_asked: str | None
    provider: str
    model: str | None
    streamed: bool
    input_bound: int
    """Upper bound of the attempt's input tokens: no tokenizer makes more tokens than there are bytes."""
    held_nano: int | None = None
    """Nano-USD set aside for it; None where no budget in money was asked."""
    held_tokens: int | None = None
    idempotency: str | None = None
    """The beginning of the hash of its Idempotency-Key: after a crash it tells which request a retry repeats."""
    detached: bool = False
    """Whether the provider goes on with it when we have crashed, as with a batch: it stays open until it expires. Events
    whose ids are this one's, a hyphen and more are what it has come to so far."""


class Event(Struct, frozen=True):
    """The record of one attempt. Never changed once written. Times are Unix milliseconds, durations milliseconds."""

    request_id: str
    attempt: int
    started_at: int
    key_id: str
    owner: str | None
    team: str | None
    operation: str
    dialect: str
    model_asked: str | None
    provider: str
    model: str | None
    """The provider's model as the request named it."""
    model_used: str | None
    """The model as the provider's answer named it."""
    streamed: bool
    outcome: Outcome
    status: int
    """HTTP status of the provider's answer; 0 if there was none."""
    error_code: str | None
    quality: Quality
    usage: Usage
    cost_nano: int | None
    """Nano-USD; None when unpriced."""
    price_version: str | None
    usage_raw: str | None
    """The provider's own usage object, as it sent it."""
    first_byte_ms: float | None
    duration_ms: float
    overhead_ms: float
    """What the gate itself added: the time it held the call while the provider was not being waited for."""
    held_nano: int | None = None
    """Nano-USD set aside before it was sent; None where no budget in money was asked."""
    saved_nano: int = 0
    """Nano-USD that an answer from the cache did not cost."""
    trace: str | None = None
    """Which rules were evaluated with which numbers, as a JSON list of notes (see docs/explain.md); None: none."""
