"""Bulk jobs as their user runs them: a folder with a config, prompts and answers, and the command in a process."""

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from kit.copies import run, start
from kit.scripted import Connection, Request, chat_answer, json_answer

CONFIG = """
[providers.up]
kind = "openai"
base_url = "{url}/v1"
[models.m]
targets = ["up/gpt-4o-mini"]
price = {{ input = 1, output = 2 }}
"""


class Folder:
    """A folder with a config for one upstream, in which jobs run."""

    def __init__(self, path: Path, upstream: str, more: str = "") -> None:
        self.path = path
        (path / "tollkeeper.toml").write_text(CONFIG.format(url=upstream.removesuffix("/v1")) + more)

    def prompts(self, count: int, name: str = "in.jsonl") -> Path:
        target = self.path / name
        target.write_text("".join(json.dumps(f"prompt {number}") + "\n" for number in range(count)))
        return target

    def start(self, *arguments: str, **environment: str) -> Any:
        """The job's process, as of `subprocess.Popen`."""
        return start(
            *("run", *arguments, "--home", str(self.path / "home")),
            folder=self.path,
            environment={**os.environ, **environment},
            stdin=subprocess.PIPE,
        )

    def run(self, *arguments: str, stdin: bytes = b"", within: float = 60, **environment: str) -> tuple[int, str, str]:
        process = self.start(*arguments, **environment)
        try:
            out, err = process.communicate(stdin, timeout=within)
        finally:
            process.kill()
        return process.returncode, out.decode(), err.decode()

    def rows(self, name: str = "out.jsonl") -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.path / name).read_text().splitlines()]

    def command(self, *arguments: str) -> Any:
        home = str(self.path / "home")
        done = run(*arguments, "--json", "--home", home, folder=Path.cwd(), environment=os.environ)
        done.check_returncode()
        return json.loads(done.stdout)


def echo(request: Request, connection: Connection) -> bool:
    """Answers with the last message, so that rows can be told apart."""
    text = request.json()["messages"][-1]["content"]
    return bool(json_answer(200, chat_answer(f"re: {text}"))(request, connection))


def after(seconds: float) -> Callable[[Request, Connection], bool]:
    """The same, some time later."""

    def script(request: Request, connection: Connection) -> bool:
        time.sleep(seconds)
        return echo(request, connection)

    return script


def answers(count: int) -> list[str]:
    """What `echo` makes of so many prompts."""
    return [f"re: prompt {number}" for number in range(count)]
