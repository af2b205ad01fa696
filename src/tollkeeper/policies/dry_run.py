"""A dry run: what would become of this call, asked with `x-tollkeeper-dry-run: 1`. Nothing is taken, sent or counted."""

from collections.abc import Awaitable
from typing import Any

import msgspec

from tollkeeper.core import notes
from tollkeeper.core.call import Call, Reply
from tollkeeper.core.errors import ClientLeft, TollkeeperError
from tollkeeper.core.ports import Handler

ORDER = 50


class DryRun:
    """The outermost rule: it tells what those further in found, and which error they would have answered with."""

    def __call__(self, call: Call, next: Handler) -> Awaitable[Reply]:
        return self._told(call, next) if call.dry else next(call)

    async def _told(self, call: Call, next: Handler) -> Reply:
        sketch: dict[str, Any] = {}
        refusal: dict[str, Any] | None = None
        headers: list[tuple[bytes, bytes]] = []
        try:
            reply = await next(call)
        except ClientLeft:
            raise
        except TollkeeperError as error:
            refusal = _refusal(call, error)
        else:
            sketch = msgspec.json.decode(reply.body)
            headers = [header for header in reply.headers if header[0].startswith(b"x-ratelimit-")]
        body = {
            "dry_run": True,
            "request_id": call.request_id,
            "admitted": refusal is None,
            "refusal": refusal,
            "rules": notes.rules(call.notes),
            **sketch,
        }
        return Reply(200, [(b"content-type", b"application/json"), *headers], msgspec.json.encode(body))


def _refusal(call: Call, error: TollkeeperError) -> dict[str, Any]:
    """The very answer that the caller would get."""
    return {
        "status": error.status,
        "headers": {name.decode("latin-1"): value.decode("latin-1") for name, value in error.told},
        "body": msgspec.json.decode(call.dialect.render_error(error)),
    }
