"""Several scripted upstreams behind one gate, and a model that has them all as targets."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from kit.gate import GateProcess, running_gate
from kit.scripted import Connection, Request, Script, ScriptedUpstream, chat_answer, json_answer

WELL = json_answer(200, chat_answer("well"))
ASK = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
QUICK = "[retry]\nbase = 0.01\n"
"""Retries without long waits."""


def failing(status: int, *headers: str, code: str = "server_error") -> Script:
    """A provider's own error."""
    return json_answer(status, {"error": {"message": "no", "type": "t", "param": None, "code": code}}, *headers)


def silent(request: Request, connection: Connection) -> None:
    """Takes the request and says nothing until the gate gives up."""
    connection.wait_for_peer_to_close(30)


def reset(request: Request, connection: Connection) -> None:
    """Takes the request and resets the connection."""
    connection.reset()


def providers(urls: Sequence[str], timeouts: str = "connect = 10, first_byte = 10, idle = 10, total = 30") -> str:
    """Tables [providers.a], [providers.b], … and [models.price]s to charge by."""
    return "".join(
        f'[providers.{name}]\nkind = "openai"\nbase_url = "{url}"\napi_key = "sk-{name}"\ntimeouts = {{ {timeouts} }}\n'
        for name, url in zip("abcdefgh", urls, strict=False)
    )


def model(count: int, more: str = "", targets: str | None = None) -> str:
    """[models.m] with a target `a/m`, `b/m`, … for each upstream."""
    listed = targets or ", ".join(f'"{name}/m"' for name in "abcdefgh"[:count])
    return f"[models.m]\ntargets = [{listed}]\nprice = {{ input = 1, output = 2 }}\n{more}\n"


class Several:
    """A running gate, its upstreams in order, and a key."""

    def __init__(self, gate: GateProcess, upstreams: list[ScriptedUpstream]) -> None:
        self.gate = gate
        self.upstreams = upstreams
        self.key = gate.new_key()

    def ask(self, **changes: object) -> tuple[int, dict[str, str], bytes]:
        """One chat completion for `m`."""
        return self.gate.call("POST", "/v1/chat/completions", self.key, {**ASK, **changes})

    def counts(self) -> list[int]:
        """Requests that each upstream has had."""
        return [len(upstream.requests) for upstream in self.upstreams]

    def said(self, what: str, count: int = 1) -> bool:
        """Whether the gate's log says so, `count` times: it is written a moment later."""
        until = time.monotonic() + 30
        while self.gate.log().count(what) < count:
            if time.monotonic() > until:
                return False
            time.sleep(0.02)
        return True

    def reconfigure(self, old: str, new: str) -> None:
        """Changes the config; returns when the gate has taken it."""
        loaded = self.gate.log().count("config_loaded")
        text = self.gate.config.read_text("utf-8")
        assert old in text
        self.gate.config.write_text(text.replace(old, new), "utf-8")
        assert self.said("config_loaded", loaded + 1)

    def metrics(self) -> str:
        return self.gate.operator("GET", "/metrics")[2].decode()

    def forget(self) -> None:
        for upstream in self.upstreams:
            upstream.requests.clear()


@contextlib.contextmanager
def several(
    folder: Path,
    scripts: Sequence[Script],
    more: str = "",
    *,
    retry: str = QUICK,
    timeouts: str = "connect = 10, first_byte = 10, idle = 10, total = 30",
    targets: str | None = None,
) -> Iterator[Several]:
    """A gate whose model `m` has one target for each script; `more` goes into [models.m] and below."""
    with contextlib.ExitStack() as stack:
        upstreams = [stack.enter_context(ScriptedUpstream(script)) for script in scripts]
        config = providers([upstream.url for upstream in upstreams], timeouts)
        config += retry + model(len(scripts), more, targets)
        gate = stack.enter_context(running_gate(folder, config))
        yield Several(gate, upstreams)
