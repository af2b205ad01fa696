"""For the tests of those who publish APIs: the demo model by itself, and a real gate with it, all without the internet."""

import asyncio
import contextlib
import json
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from tollkeeper.apis.calls import Calls
from tollkeeper.apis.model import Model
from tollkeeper.apis.outside import Outside
from tollkeeper.app import open_app
from tollkeeper.core.call import Call, Presence
from tollkeeper.core.keys import Key
from tollkeeper.dialects import openai_chat

_WAIT = 60.0
"""Seconds for an answer."""


class Given(NamedTuple):
    """What a published function is given."""

    model: Model
    outside: Outside


@contextlib.asynccontextmanager
async def given(config: Path | None = None, model: str = "demo") -> AsyncIterator[Given]:
    """Both, in this process, for the time of an `async with`; outside APIs are those of `config`. Raises ConfigError."""
    with tempfile.TemporaryDirectory(prefix="tollkeeper-test-") as home:
        app = open_app(config, Path(home), {}, demo=True, quiet=True)
        app.start()
        try:
            key: Key = app.key_store.create("test")[0]
            calls = Calls(_call(app.new_id(), key), app.means.handle, app.means.tasks, app.means.monotonic)
            yield Given(Model(calls, model, "test"), Outside(calls, app.means.outside))
        finally:
            await app.close()


def _call(request_id: str, key: Key) -> Call:
    return Call(
        request_id=request_id,
        key=key,
        dialect=openai_chat.DIALECT,
        method="POST",
        path="chat/completions",
        query=b"",
        headers=[],
        body=b"",
        model=None,
        streamed=False,
        accepted_at=asyncio.get_running_loop().time(),
        presence=Presence(),
    )


class Gate:
    """A running `tollkeeper serve --demo`, with a key of its own."""

    def __init__(self, about: dict[str, Any]) -> None:
        self.url: str = about["gate"]
        self.key: str = about["demo_key"]

    def call(self, path: str, body: Any) -> tuple[int, Any]:
        """Status and answer of a POST."""
        status, answer = self._post(path, body)
        return status, json.loads(answer)

    def stream(self, path: str, body: Any) -> list[Any]:
        """The pieces of a streamed answer; an error, where it ends with one, is the last of them."""
        _, answer = self._post(path, {**body, "stream": True})
        datas = [line.removeprefix("data: ") for line in answer.decode().split("\n") if line.startswith("data: ")]
        return [json.loads(data) for data in datas if data != "[DONE]"]

    def _post(self, path: str, body: Any) -> tuple[int, bytes]:
        headers = {"authorization": f"Bearer {self.key}", "content-type": "application/json"}
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), headers)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=_WAIT) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read()


@contextlib.contextmanager
def gate(config: Path) -> Iterator[Gate]:
    """A gate with this config on free ports, for the time of a `with`. Raises RuntimeError with what it said."""
    command = [sys.executable, "-m", "tollkeeper", "serve", "--demo", "--json", "--port", "0", "--operator-port", "0"]
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(
            [*command, "--config", str(config)], stdout=subprocess.PIPE, stderr=complaints, cwd=config.parent
        )
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if not line:
                complaints.seek(0)
                raise RuntimeError(f"the gate did not start: {complaints.read().decode('utf-8', 'replace')}")
            yield Gate(json.loads(line))
        finally:
            process.terminate()
            process.wait(_WAIT)
            process.stdout.close()
