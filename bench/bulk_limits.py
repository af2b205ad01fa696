"""Runs jobs against a provider that allows so many requests a minute, well and on a bad day: what of its allowance is used.

    .venv/bin/python -m bench.bulk_limits [--rows 600] [--per-minute 600] [--only well|bad]

The provider is a process of its own on loopback and keeps count itself, from the first request that it gets to the last
answer that it gives. It admits `--burst` requests at once, a tenth of a minute's by default. Ideal is the time in which
nobody could be faster: the rows that the burst does not cover, at its rate. On a bad day 30 % of what it admits is refused,
10 % fail, 5 % stall and 1 % are garbage, and a job's calls at once set a bound of their own: how many a second they can be,
with the seconds that each takes (Little's law), is told beside. Exits with 1 where a row has no answer or another's. It
takes about a minute, and two more for the bad day.
"""

import argparse
import asyncio
import json
import multiprocessing
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import cast

import uvloop

from bench.bulk import CONFIG

_BAD_DAY = {"refuses": 0.30, "fails": 0.10, "stalls": 0.05, "garbage": 0.01}
_SECONDS = 0.2
"""What an answer takes."""
_STALL = 3600.0
_TIMEOUT = 5.0
_AT_ONCE = 100


class _Allowance:
    """The bucket, what was done with it, and when."""

    def __init__(self, per_minute: float, burst: float, moods: dict[str, float]) -> None:
        self.rate = per_minute / 60
        self.limit = per_minute
        self.burst = self.level = burst
        self.moods = moods
        self.draw = random.Random(600)
        self.seen: Counter[str] = Counter()
        self.began = self.ended = 0.0
        self._at = 0.0

    def outcome(self) -> str:
        """Of a request that comes now."""
        now = time.monotonic()
        self.began = self.began or now
        self.level = min(self.burst, self.level + (now - (self._at or now)) * self.rate)
        self._at = now
        found = "over"
        if self.level >= 1:
            self.level -= 1
            drawn = self.draw.random()
            found = "well"
            for mood, share in self.moods.items():
                if drawn < share:
                    found = mood
                    break
                drawn -= share
        self.seen[found] += 1
        return found


class _Provider(asyncio.Protocol):
    """One connection: one request at a time."""

    def __init__(self, allowance: _Allowance) -> None:
        self._allowance = allowance

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._kept = b""

    def data_received(self, data: bytes) -> None:
        self._kept += data
        head = self._kept.find(b"\r\n\r\n")
        if head < 0:
            return
        at = self._kept[:head].lower().find(b"content-length:")
        end = head + 4 + int(self._kept[at + 15 : head].split(b"\r\n", 1)[0])
        if len(self._kept) < end:
            return
        body, self._kept = self._kept[head + 4 : end], self._kept[end:]
        outcome = self._allowance.outcome()
        wait = _STALL if outcome == "stalls" else 0.0 if outcome in ("over", "refuses") else _SECONDS
        asyncio.get_running_loop().call_later(wait, self._answer, outcome, body)

    def _answer(self, outcome: str, body: bytes) -> None:
        if self._transport.is_closing():
            return
        allowance = self._allowance
        status, answer = 200, b"<html>"
        if outcome in ("over", "refuses"):
            status, answer = 429, b'{"error":{"message":"slow down","code":"rate_limit_exceeded"}}'
        elif outcome == "fails":
            status, answer = 500, b"oops"
        elif outcome == "well":
            said = json.loads(body)["messages"][-1]["content"]
            message = {"role": "assistant", "content": f"re: {said}"}
            usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            answer = json.dumps({"choices": [choice], "usage": usage}).encode()
        headers = (
            f"HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {len(answer)}\r\n"
            f"x-ratelimit-limit-requests: {allowance.limit:.0f}\r\n"
            f"x-ratelimit-remaining-requests: {int(allowance.level)}\r\n"
            f"x-ratelimit-reset-requests: {(allowance.burst - allowance.level) / allowance.rate:.3f}s\r\n\r\n"
        )
        self._transport.write(headers.encode() + answer)
        allowance.ended = time.monotonic()


def provide(allowance: _Allowance, said: "multiprocessing.Queue[tuple[float, float, Counter[str]] | int]") -> None:
    """Serves until it is ended; its port first, then twice a second when it began, when it last answered, what it saw."""

    async def serve() -> None:
        server = await asyncio.get_running_loop().create_server(lambda: _Provider(allowance), "127.0.0.1", 0)
        said.put(server.sockets[0].getsockname()[1])
        while True:
            await asyncio.sleep(0.5)
            said.put((allowance.began, allowance.ended, allowance.seen))

    uvloop.run(serve())


def measure(name: str, rows: int, per_minute: float, burst: float, moods: dict[str, float]) -> None:
    """One job, told in a line or two."""
    said: multiprocessing.Queue[tuple[float, float, Counter[str]] | int] = multiprocessing.Queue()
    provider = multiprocessing.Process(target=provide, args=(_Allowance(per_minute, burst, moods), said), daemon=True)
    provider.start()
    try:
        with tempfile.TemporaryDirectory(prefix="tollkeeper-limits-") as place:
            folder = Path(place)
            (folder / "tollkeeper.toml").write_text(CONFIG.format(port=said.get(timeout=30)), "utf-8")
            with (folder / "in.jsonl").open("w", encoding="utf-8") as stream:
                stream.writelines(f'"prompt {number}"\n' for number in range(rows))
            command = [sys.executable, "-m", "tollkeeper", "run", "in.jsonl", "-o", "out.jsonl", "--model", "m"]
            more = ["--home", "home", "--timeout", f"{_TIMEOUT:g}", "--attempts", "20"]
            more += ["--concurrency", str(_AT_ONCE)]
            done = subprocess.run([*command, *more], cwd=folder, capture_output=True, check=False, timeout=900)
            lines = [json.loads(line) for line in (folder / "out.jsonl").read_text("utf-8").splitlines()]
        time.sleep(1.0)
        began, ended, seen = 0.0, 0.0, Counter[str]()
        while not said.empty():
            began, ended, seen = cast(tuple[float, float, Counter[str]], said.get())
        wrong = [line for number, line in enumerate(lines) if line["output"] != f"re: prompt {number}"]
        took, rate = ended - began, per_minute / 60
        admitted = seen.total() - seen["over"]
        print(f"{name}: {len(lines):,} rows in {took:.1f} s, {len(wrong)} without their answer; provider: {dict(seen)}")
        if moods:
            allowed = burst + took * rate
            print(
                f"  it admitted {admitted:,} of the {allowed:,.0f} requests that it allowed: {admitted / allowed:.1%}"
            )
            each = (1 - moods["refuses"] - moods["stalls"]) * _SECONDS + moods["stalls"] * _TIMEOUT
            print(
                f"  a request takes {each:.2f} s on average: {_AT_ONCE} at once can be {_AT_ONCE / each:.0f} a second; "
                f"it allows {rate:.0f}"
            )
        else:
            ideal = (rows - burst) / rate + _SECONDS
            print(f"  ideal: {ideal:.1f} s; {took / ideal - 1:+.1%}")
        if done.returncode or wrong or len(lines) != rows:
            sys.exit(f"It ended with {done.returncode}: {done.stderr.decode()[-500:]}")
    finally:
        provider.kill()


def main() -> None:
    """Both days, one after the other."""
    options = argparse.ArgumentParser(prog="bench.bulk_limits", description=__doc__.splitlines()[0])
    options.add_argument("--rows", type=int, default=600)
    options.add_argument("--per-minute", type=float, default=600.0)
    options.add_argument("--burst", type=float, help="requests at once")
    options.add_argument("--only", choices=("well", "bad"))
    given = options.parse_args()
    burst = given.burst if given.burst is not None else given.per_minute / 10
    if given.only != "bad":
        measure("well", given.rows, given.per_minute, burst, {})
    if given.only != "well":
        measure("a bad day", 2 * given.rows, 2 * given.per_minute, 2 * burst, _BAD_DAY)


if __name__ == "__main__":
    main()
