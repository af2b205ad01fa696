"""Calls as the door makes them, for rules that are asked without a door."""

import itertools
import json
from typing import Any

from kit.records import event
from tollkeeper.core.call import Call, Presence
from tollkeeper.core.events import Event
from tollkeeper.core.keys import Key
from tollkeeper.core.rate import parse_all
from tollkeeper.core.usage import Usage
from tollkeeper.dialects.openai_paths import endpoint
from tollkeeper.wire import json_text

_numbers = itertools.count(1)
_PLAIN = b'{"model": "m", "messages": []}'
_PLAIN_MEMBERS = json_text.members(_PLAIN)


def key(name: str = "key_1", *limits: str, **fields: Any) -> Key:
    """A key with limits in their text form."""
    return Key(
        id=name,
        name=name,
        shown="tk-0000000",
        digest=b"",
        created_at=0,
        limits=parse_all(limits, "key", name),
        **fields,
    )


def call(of: Key, body: Any = None, *, path: str = "chat/completions", accepted_at: float = 0.0, **fields: Any) -> Call:
    """A POST of JSON by that key."""
    found = endpoint(path, "POST")
    data = _PLAIN if body is None else json.dumps(body).encode()
    members = _PLAIN_MEMBERS if body is None else json_text.members(data)
    return Call(
        **{
            "request_id": f"call_{next(_numbers)}",
            "key": of,
            "dialect": found.dialect,
            "method": "POST",
            "path": path,
            "query": b"",
            "headers": [],
            "body": data,
            "model": "m" if body is None else body.get("model"),
            "streamed": False,
            "accepted_at": accepted_at,
            "presence": Presence(),
            "members": members,
            "metered": found.metered,
            **fields,
        }
    )


def used(input_tokens: int, output_tokens: int, **fields: Any) -> Event:
    """The event of an attempt that used so much."""
    return event(usage=Usage(input_tokens=input_tokens, output_tokens=output_tokens), **fields)
