"""From nothing to a conference API behind the gate, by chat, and back again; everything that it starts ends with it.

    python examples/conference/walk.py

Needs Tollkeeper in this Python, and nothing else: the model is the scripted one beside this file.
"""

import json
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO

HERE = Path(__file__).parent
TOLLKEEPER = [sys.executable, "-m", "tollkeeper"]
WORDS = (
    "Put a gateway in front of the conference API at {first}, with a key for ada, 100 requests a minute per key and "
    "answers kept for 10 seconds. Let 10 % go to version 2 at {second}."
)
_web = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def main() -> None:
    """The walk. Raises SystemExit where a step does not come out as it should."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="conference-")))
        log = stack.enter_context((folder / "log").open("w"))

        def start(*command: str) -> str:
            return stack.enter_context(running([sys.executable, str(HERE / command[0]), *command[1:]], folder, log))

        first, second, model = (
            re.sub(r".*http://|\s", "", start(*command))
            for command in (("api.py",), ("api.py", "--version", "2"), ("model.py",))
        )
        config = re.sub(r"127\.0\.0\.1:\d+/v1", model, (HERE / "tollkeeper.toml").read_text("utf-8"))
        (folder / "tollkeeper.toml").write_text(config, "utf-8")
        serve = [*TOLLKEEPER, "serve", "--json", "--port", "0", "--operator-port", "0"]
        gate = json.loads(stack.enter_context(running(serve, folder, log)))["gate"]

        said = chat(WORDS.format(first=first, second=second), folder)
        keys = re.findall(r"tk-[\w-]{43}", said)
        expect(bool(keys), "the chat made a key")
        key = {"apikey": keys[0]}

        status, _, _ = get(gate, "/speaker/1/sessions", {})
        expect(status == 401, "nobody comes in without a key")
        status, headers, body = get(gate, "/speaker/1/sessions", key)
        expect(status == 200 and "Queues" in body, f"with it, the sessions of speaker 1 are answered: {body}")
        expect(headers["x-ratelimit-limit"] == "100", "100 requests a minute")
        again = (get(gate, "/speaker/1/sessions", key)[1]["apisix-cache-status"] for _ in range(5))
        expect("HIT" in again, "asked again, it comes from the cache")
        found = (get(gate, f"/session/{number}", key)[1]["x-conference-version"] for number in range(1, 11))
        expect(Counter(found) == {"1": 9, "2": 1}, "of ten requests, one goes to version 2")

        chat("Undo that.", folder)
        status, _, _ = get(gate, "/speaker/1/sessions", key)
        expect(status != 200, "all is as it was before")


@contextmanager
def running(command: list[str], folder: Path, log: IO[str]) -> Iterator[str]:
    """A program, for as long as this is open; the first line that it prints."""
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=log, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line:
                raise SystemExit(f"{' '.join(command)} did not start: {(folder / 'log').read_text()}")
            yield line
        finally:
            process.terminate()


def chat(words: str, folder: Path) -> str:
    """What `tollkeeper chat` says, shown as it comes."""
    print(f'$ tollkeeper chat "{words}" --yes', flush=True)
    command = [*TOLLKEEPER, "chat", words, "--yes"]
    said = ""
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            said += line
    expect(process.returncode == 0, "the chat did what it was asked")
    return said


def get(gate: str, path: str, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str], str]:
    """One request through the gate: status, headers, body."""
    try:
        with _web.open(urllib.request.Request(gate + path, headers=dict(headers)), timeout=30) as answer:
            return answer.status, answer.headers, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.headers, error.read().decode()


def expect(true: bool, words: str) -> None:
    """Says it where it is true. Raises SystemExit where it is not."""
    if not true:
        raise SystemExit(f"This should be so, and is not: {words}")
    print(f"✓ {words}", flush=True)


if __name__ == "__main__":
    main()
