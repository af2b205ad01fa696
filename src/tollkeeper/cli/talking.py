"""The assistant at a terminal: its words as they come, plans as coloured differences, and the user's yes or no.

What models, resources and upstreams say is printed without control characters: none of them may move the cursor, hide
what a plan says, or speak to the terminal.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.text import Text

from tollkeeper.assistant.agreement import Question
from tollkeeper.assistant.events import Answered, Changed, Ended, Event, Plan, Planned, Secret, Used, Words
from tollkeeper.cli.printing import line, plain

_STYLES = {"+": "green", "-": "red", "~": "yellow"}
_LONGEST_NOTE = 160
_ENDINGS = {
    "empty": "The model answered nothing.",
    "length": "The answer was cut: it has as many tokens as it may have ([assistant] answer_tokens).",
    "filter": "The provider kept back the rest of the answer.",
    "rounds": "Stopped: the model was asked as often as one message may cause ([assistant] rounds). Say “go on” to go on.",
    "tokens": "Stopped: one message may not use more tokens ([assistant] tokens). Say “go on” to go on.",
}


class Terminal:
    """Prints a turn's events, and asks. Colours only where the terminal has them and NO_COLOR does not say otherwise."""

    def __init__(self) -> None:
        self._out = Console(highlight=False, soft_wrap=True, markup=False, emoji=False)
        self._shown: set[str] = set()
        self._fresh = True
        """Whether the cursor is at the beginning of a line."""

    def show(self, event: Event) -> None:
        """One event."""
        match event:
            case Words(text):
                text = plain(text)
                if text.strip():
                    self._shown.clear()  # what was said since may look like a plan: the real one is shown again
                if text:
                    self._out.file.write(text)
                    self._out.file.flush()
                    self._fresh = text.endswith("\n")
            case Used(tool, arguments):
                self._line(f"· {_short(tool)} {_short(arguments)}", "dim")
            case Answered(_, text, failed):
                if failed:
                    self._line(f"  {_short(text)}", "yellow")
            case Planned(plan):
                self.plan(plan)
            case Changed(revision, what):
                self._line(f"Revision {revision}: {what}", "bold green")
            case Secret(name, secret):
                self._line(f"The key of {name}. Keep it, it is not shown again:")
                self._line(secret, "bold")
            case Ended(why):
                self._rest()
                if why in _ENDINGS:
                    self._line(_ENDINGS[why], "yellow")

    def plan(self, plan: Plan) -> None:
        """Its difference and its effects."""
        self._shown.add(plan.id)
        self._line(f"Plan {plan.id}: {plan.what}", "bold")
        self.difference(plan.difference)
        for effect in plan.effects:
            self._line(f"→ {effect}")

    def difference(self, text: str) -> None:
        """+ what comes, - what goes."""
        for each in text.split("\n") if text else ():
            self._line(each, _STYLES.get(each.lstrip()[:1], ""))

    def error(self, words: str) -> None:
        """What went wrong, in the conversation."""
        self._line(f"Error: {words}", "red")

    def note(self, words: str) -> None:
        """A line beside the conversation."""
        self._line(words, "dim")

    def read(self, prompt: str) -> str:
        """A line of the user's. Raises EOFError and KeyboardInterrupt."""
        self._rest()
        with _interruptible():
            return input(prompt)

    def question(self, question: Question) -> None:
        """Shows what a yes would be to, unless it was shown and nothing was said since."""
        if question.plan is not None:
            if question.plan.id not in self._shown:
                self.plan(question.plan)
            return
        self._line(question.title, "bold")
        self.difference(question.difference)

    def _line(self, text: str, style: str = "") -> None:
        self._rest()
        self._out.print(Text(line(text), style))

    def _rest(self) -> None:
        if not self._fresh:
            self._out.file.write("\n")
            self._out.file.flush()
            self._fresh = True


class Asking:
    """Implements `Agreement`: the user at the terminal is asked."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self.declined = False

    async def __call__(self, question: Question) -> bool:
        self._terminal.question(question)
        if question.warned and question.destroys:
            self._terminal.note("Mind: the assistant has read an upstream's answer before it came to this.")
        agreed = self._terminal.read(f"{line(question.title)}? [y/N] ").strip().lower() in ("y", "yes")
        self.declined = not agreed
        return agreed


class Flag:
    """Implements `Agreement`: --yes, given beforehand. `show` is shown what it agrees to.

    It is no yes to plans that were made elsewhere, nor, once the model has read an upstream's answer, to what takes away.
    """

    def __init__(self, terminal: Terminal | None) -> None:
        self._terminal = terminal
        self.declined = False

    async def __call__(self, question: Question) -> bool:
        agreed = question.ours and not (question.destroys and question.warned)
        self.declined = self.declined or not agreed
        if self._terminal is not None:
            self._terminal.question(question)
            self._terminal.note("Agreed by --yes." if agreed else "--yes is no yes to this: do it at a terminal.")
        return agreed


class Nobody:
    """Implements `Agreement`: there is no terminal to ask at, and no --yes."""

    def __init__(self, terminal: Terminal | None) -> None:
        self._terminal = terminal
        self.declined = False

    async def __call__(self, question: Question) -> bool:
        self.declined = True
        if self._terminal is not None:
            self._terminal.question(question)
            self._terminal.note("Nothing was done: nobody can be asked here, and --yes was not given.")
        return False


class Told:
    """A turn's events gathered for --json."""

    def __init__(self, model: str) -> None:
        self._told: dict[str, Any] = {
            "answer": "",
            "model": model,
            "calls": [],
            "plans": [],
            "revisions": [],
            "keys": [],
        }

    def show(self, event: Event) -> None:
        """One event."""
        told = self._told
        match event:
            case Words(text):
                told["answer"] += text
            case Used(tool, arguments):
                told["calls"].append({"tool": tool, "arguments": arguments})
            case Answered(_, text, failed):
                told["calls"][-1] |= {"failed": failed, **({"error": text} if failed else {})}
            case Planned(plan):
                told["plans"].append(
                    {"id": plan.id, "what": plan.what, "difference": plan.difference, "effects": plan.effects}
                )
            case Changed(revision, what):
                told["revisions"].append({"revision": revision, "what": what})
            case Secret(name, secret):
                told["keys"].append({"name": name, "key": secret})
            case Ended(why, rounds, spent_in, spent_out):
                told |= {"ended": why, "rounds": rounds, "input_tokens": spent_in, "output_tokens": spent_out}

    def whole(self, declined: bool, error: str | None = None) -> dict[str, Any]:
        """The document. `error` is what ended the turn, where it did not end by itself."""
        failed = {} if error is None else {"ended": "failed", "error": error}
        return {**self._told, **failed, "declined": declined}


@contextmanager
def _interruptible() -> Iterator[None]:
    """Ctrl-C ends the waiting for a line, also where a loop has taken the signal for itself."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_NOTE else text[:_LONGEST_NOTE] + "…"


def at_a_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty() and sys.stdout.isatty()
