"""One row of output: the same fields whether it was answered or not."""

import msgspec

from tollkeeper.bulk import answers
from tollkeeper.bulk.failures import Failure
from tollkeeper.bulk.shaping import Request
from tollkeeper.core.money import usd_from_nano

FIELDS = ("index", "id", "output", "error", "usage", "cost_usd", "attempts", "finish_reason")
_NUMBERS = ("index", "attempts")
_LINE = ("{" + ",".join(f'"{name}":%{"d" if name in _NUMBERS else "b"}' for name in FIELDS) + "}").encode()
_NULL = b"null"
_REASONS = {reason: b'"%b"' % reason.encode() for reason in ("stop", "length", "content_filter", "tool_calls")}
_encode = msgspec.json.Encoder().encode


def result_line(
    request: Request, attempts: int, cost_nano: int | None, output: answers.Output | None, error: Failure | None
) -> bytes:
    """The row as a JSON object, without a line end. `cost_usd` is an exact decimal string, null where it is unknown."""
    text = usage = reason = _NULL
    if output is not None:
        text, usage = output.output, output.usage
        if output.finish_reason is not None:
            reason = _REASONS.get(output.finish_reason) or _encode(output.finish_reason)
    return _LINE % (
        request.index,
        _NULL if request.id is None else _encode(request.id),
        text,
        _NULL if error is None else _encode(error),
        usage,
        _NULL if cost_nano is None else b'"%b"' % usd_from_nano(cost_nano).encode(),
        attempts,
        reason,
    )


def missing_line(index: int) -> bytes:
    """A row that the job has not come to."""
    error = Failure("not_run", 0, "not_run", "The job stopped before this row; run it again with --resume.")
    return result_line(Request(index, None, "", b""), 0, None, None, error)
