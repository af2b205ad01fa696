"""A first look: a gate with its built-in model, one streamed chat through it, and what that left behind."""

import argparse
import json
import os
import shlex
import shutil
import signal
import sys
import tempfile
import urllib.parse
import urllib.request
from pathlib import Path
from types import FrameType
from typing import NoReturn

from demo_gate import STOPS, Gate, Trouble

QUESTION = "Say hello to whoever is watching"


class Stopped(BaseException):
    """Ctrl-C, or another signal to end."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="scripts/demo", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after the chat instead of serving on")
    once = parser.parse_args().once
    sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]
    for number in STOPS:
        signal.signal(number, stop)
    serving = False
    try:
        with tempfile.TemporaryDirectory(prefix="tollkeeper-demo-") as folder, Gate(Path(folder)) as gate:
            show(gate, once)
            if not once:
                serving = True
                heading("Serving until Ctrl-C. Calls show up here:")
                gate.serve()
    except Stopped as stopped:
        if sys.stdout.isatty():
            say("\n")
        return 0 if serving else 128 + int(str(stopped))
    except Trouble as trouble:
        sys.stderr.write(f"The demo failed. {trouble}\n")
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return 0


def stop(number: int, frame: FrameType | None) -> NoReturn:
    for each in STOPS:
        signal.signal(each, signal.SIG_IGN)  # until the gate is being closed
    raise Stopped(number)


def show(gate: Gate, once: bool) -> None:
    """Everything that the demo has to show, from first to last."""
    heading("Tollkeeper, with a built-in model that needs no account")
    table(["gate", address(f"{gate.url}/v1", 9080)], ["operators", address(gate.operator_url, 9180)], ["key", gate.key])
    heading("A streamed chat, sent with the openai package")
    chat(gate)
    event = gate.event()
    [row] = gate.asked("/api/usage?by=key")
    heading("What it used")
    numbers = [str(row[name]) for name in ("requests", "input_tokens", "output_tokens", "cost_usd")]
    table(["key", "requests", "input", "output", "USD"], [row["name"], *numbers], left=1)
    heading("Its record in the ledger")
    table(
        ["request", f"{event['request_id']}, attempt {event['attempt']}"],
        ["model", f"{event['model_asked']}, served by {event['provider']}/{event['model']}"],
        ["outcome", f"{event['outcome']}, status {event['status']}"],
        ["tokens", f"{event['input_tokens']} in, {event['output_tokens']} out, as {event['quality']} by the provider"],
        ["cost", f"{event['cost_usd']} USD, at the {event['price_version']} price"],
        ["time", f"{event['duration_ms']:.0f} ms; the gate itself added {event['overhead_ms']:.1f} ms"],
    )
    heading("Your turn (leave out --once, and the gate keeps serving)" if once else "Your turn")
    say(curl_line(gate), "\n")
    if once:
        return
    heading("And what it used")
    say(shlex.join([str(Path(sys.executable).with_name("tollkeeper")), "usage", "--home", str(gate.home)]), "\n")


def chat(gate: Gate) -> None:
    """Sends the chat and shows its words as they arrive."""
    import openai

    say(f"  you    {QUESTION}\n  demo   ")
    column = margin = 9
    web = openai.DefaultHttpxClient(trust_env=False)
    client = openai.OpenAI(base_url=f"{gate.url}/v1", api_key=gate.key, max_retries=0, http_client=web)
    try:
        with (
            client,
            client.chat.completions.create(
                model="demo", messages=[{"role": "user", "content": QUESTION}], stream=True
            ) as stream,
        ):
            gate.own_request = stream.response.headers["x-request-id"]
            for chunk in stream:
                word = chunk.choices[0].delta.content or ""
                if column + len(word) > min(shutil.get_terminal_size().columns, 100):
                    word, column = word.lstrip(), margin
                    say("\n", " " * margin)
                say(word)
                column += len(word)
    except openai.OpenAIError as error:
        raise Trouble(f"The chat did not go through: {error}") from None
    say("\n")


def curl_line(gate: Gate) -> str:
    """One line that works when it is pasted."""
    ask = {"model": "demo", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}
    words = ["curl", "-N", f"{gate.url}/v1/chat/completions", "-H", f"Authorization: Bearer {gate.key}"]
    words += ["-H", "Content-Type: application/json", "-d", json.dumps(ask)]
    if "http" in urllib.request.getproxies() and not urllib.request.proxy_bypass("127.0.0.1"):
        words[1:1] = ["--noproxy", "*"]
    return shlex.join(words)


def address(url: str, preferred: int) -> str:
    taken = urllib.parse.urlsplit(url).port != preferred
    return f"{url}   ({preferred} is taken)" if taken else url


def heading(text: str) -> None:
    colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    say("\n", f"\x1b[1m{text}\x1b[0m" if colours else text, "\n\n")


def table(*rows: list[str], left: int = 9) -> None:
    """Aligned columns: `left` of them to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        say("  ", "   ".join(cells).rstrip(), "\n")


def say(*parts: str) -> None:
    sys.stdout.write("".join(parts))
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
