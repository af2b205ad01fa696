"""aimock, a fake provider that others wrote: what it expects of a request and how it answers owes nothing to this gate."""

import json
import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from clients.environments import AIMOCK
from kit.gate import request

FIXTURES = Path(__file__).with_name("aimock.json")
PROVIDER_KEY = "sk-provider-canary-0123456789"
"""The only key that it takes: a call that it answers came with the gate's own key, not with the caller's."""

HELLO = "Hello! Žluťoučký kůň says hello to everyone who asks."
"""What aimock answers to "say hello": 11 tokens in, 13 out."""
HELLO_TOKENS = (11, 13)
HELLO_USD = "0.00000945"


class Aimock:
    """A running aimock on a free port."""

    def __init__(self, url: str) -> None:
        self.url = url

    def journal(self, **filters: str) -> list[dict[str, Any]]:
        """The requests that came, oldest first."""
        query = "&".join(f"{name}={value}" for name, value in filters.items())
        headers = {"authorization": f"Bearer {PROVIDER_KEY}"}
        status, _, body = request("GET", f"{self.url}/__aimock/journal?{query}", headers)
        assert status == 200, body
        found: list[dict[str, Any]] = json.loads(body)
        return found


@contextmanager
def running_aimock(log: Path) -> Iterator[Aimock]:
    """aimock for the time of a `with`."""
    with log.open("wb") as said:
        process = subprocess.Popen(
            ["node", str(AIMOCK), "--port", "0", "--fixtures", str(FIXTURES), "--validate-on-load"],
            stdout=said,
            stderr=said,
            env={"PATH": os.environ["PATH"], "AIMOCK_API_KEYS": PROVIDER_KEY},
        )
    try:
        yield Aimock(_announced(process, log))
    finally:
        process.terminate()
        process.wait(30)


def _announced(process: "subprocess.Popen[bytes]", log: Path) -> str:
    until = time.monotonic() + 20
    while process.poll() is None and time.monotonic() < until:
        announced = re.search(r"listening on (http://\S+)", log.read_text("utf-8"))
        if announced:
            return announced.group(1)
        time.sleep(0.02)
    raise AssertionError(f"aimock did not start: {log.read_text('utf-8')}")
