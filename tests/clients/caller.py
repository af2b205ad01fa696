"""Who calls the gate in these tests: a key of its own for each test, so that its events are that test's calls alone."""

import json
import time
from dataclasses import dataclass
from typing import Any

from kit.gate import GateProcess


@dataclass(frozen=True)
class Caller:
    """One key and what the ledger says about it."""

    gate: GateProcess
    key: str
    id: str

    @property
    def base_url(self) -> str:
        """What clients are told as their base URL."""
        return f"{self.gate.url}/v1"

    def events(self, count: int, seconds: float = 30) -> list[dict[str, Any]]:
        """This key's events, oldest first, once there are `count`. Fails where there are more, or fewer in the end."""
        until = time.monotonic() + seconds
        while len(found := self.gate.events(key=self.id)) < count and time.monotonic() < until:
            time.sleep(0.02)
        assert len(found) == count, found
        return found[::-1]

    def event(self) -> dict[str, Any]:
        """The one event of this key's one call."""
        return self.events(1)[0]


def new_caller(gate: GateProcess, **fields: Any) -> Caller:
    """A caller that nobody was before."""
    status, _, body = gate.operator("POST", "/api/keys", {"name": "client", **fields})
    assert status == 201, body
    made = json.loads(body)
    return Caller(gate, made["key"], made["id"])


def tokens(event: dict[str, Any]) -> tuple[int, int]:
    """Input and output."""
    return event["input_tokens"], event["output_tokens"]
