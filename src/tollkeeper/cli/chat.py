"""`tollkeeper chat`: the gate run by talking with it; one message, or a conversation."""

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress

import click

from tollkeeper import config as configuration
from tollkeeper.assistant.conversing import Assistant
from tollkeeper.assistant.events import Changed, Ended, Event
from tollkeeper.assistant.model import ThroughGate
from tollkeeper.assistant.options import AssistantOptions
from tollkeeper.cli.options import Common, common, print_json
from tollkeeper.cli.reaching import ADMIN_KEY, KEY, OPERATOR_KEY, Places, Reaching
from tollkeeper.cli.talking import Asking, Flag, Nobody, Terminal, Told, at_a_terminal
from tollkeeper.core.errors import CallerError, TollkeeperError
from tollkeeper.upstream.client import HttpClient

EXIT_STOPPED = 5
EXIT_DECLINED = 7
EXIT_INTERRUPTED = 130
_HELP = "/undo takes back the last change (/undo N: revision N) · /quit leaves · Ctrl-C breaks off"
Show = Callable[[Event], None]


@click.command()
@click.argument("message", required=False)
@click.option("--yes", is_flag=True, help="Agree beforehand to what is planned; it is shown all the same.")
@click.option("--model", help="Which answers [default: [assistant] model, or the only one].")
@click.option("--gate", metavar="URL", help=f"The gate that models are asked through; its key is in {KEY}.")
@click.option("--operator", metavar="URL", help=f"The operator port; its key is in {OPERATOR_KEY}.")
@click.option("--admin-url", metavar="URL", help="Another Admin API to run in place of the gate: a running APISIX's.")
@click.option("--admin-key", help=f"Its key; better in {ADMIN_KEY}, where other processes do not see it.")
@click.option("--admin-gateway", metavar="URL", help="Where its gateway takes requests, to try routes.")
@common
def chat(options: Common, message: str | None, yes: bool, model: str | None, **places: str | None) -> None:
    """Run the gate by chat. With MESSAGE (or a message on standard input) once, else as a conversation."""
    if message is None and not sys.stdin.isatty():
        message = sys.stdin.read()
    if message is not None and not message.strip():
        raise CallerError("The message is empty.", code="invalid_value", param="message")
    if message is None and options.json:
        raise CallerError("--json is for one message.", code="invalid_value", param="json")
    told = configuration.config_of(options.config).assistant
    with asyncio.Runner() as runner:
        client = HttpClient(time.monotonic)
        try:
            reaching = Reaching(runner, client, options, Places(**places))
            code = _Session(runner, reaching, options, told).run(message, yes, model)
        except KeyboardInterrupt:
            code = EXIT_INTERRUPTED
        finally:
            runner.run(client.close())
    raise SystemExit(code)


class _Session:
    """One invocation."""

    def __init__(
        self,
        runner: asyncio.Runner,
        reaching: Reaching,
        options: Common,
        settings: AssistantOptions,
    ) -> None:
        self._run = runner.run
        self._reaching = reaching
        self._options = options
        self._settings = settings

    def run(self, message: str | None, yes: bool, name: str | None) -> int:
        """The exit code."""
        terminal = None if self._options.json else Terminal()
        agreement: Asking | Flag | Nobody
        if yes:
            agreement = Flag(terminal)
        elif terminal is not None and at_a_terminal():
            agreement = Asking(terminal)
        else:
            agreement = Nobody(terminal)
        instructions, tools = self._reaching.tools()
        model = self._reaching.model(self._settings.seconds)
        name = name or self._settings.model or self._run(_only(model))
        assistant = Assistant(model, name, tools, agreement, self._settings, instructions)
        if message is None:
            assert terminal is not None
            return self._converse(assistant, terminal, name)
        told = Told(name)
        try:
            ended = self._run(_shown(assistant.turn(message), told.show if terminal is None else terminal.show))
        except TollkeeperError as error:
            if terminal is None:  # what was done before it failed is told all the same
                print_json(told.whole(agreement.declined, error.message))
            raise
        if terminal is None:
            print_json(told.whole(agreement.declined))
        if agreement.declined:
            return EXIT_DECLINED
        return 0 if ended is not None and ended.why == "done" else EXIT_STOPPED

    def _converse(self, assistant: Assistant, terminal: Terminal, name: str) -> int:
        with suppress(ImportError):  # arrows and history, where the platform has them
            import readline  # noqa: F401
        terminal.note(f"{name} · {_HELP}")
        last: list[int] = []

        def show(event: Event) -> None:
            if isinstance(event, Changed):
                last.append(event.revision)
            terminal.show(event)
            if isinstance(event, Ended):
                terminal.note(f"{event.input_tokens} tokens in, {event.output_tokens} out")

        while True:
            try:
                said = terminal.read("> ").strip()
            except EOFError:
                return 0
            except KeyboardInterrupt:
                terminal.note("Left.")
                return EXIT_INTERRUPTED
            try:
                command, _, rest = said.partition(" ")
                if command in ("/quit", "/exit"):
                    return 0
                if command == "/undo":
                    if not last and not rest.strip().isdecimal():
                        terminal.note("Nothing was changed in this conversation: /undo N takes back revision N.")
                        continue
                    self._run(_shown(assistant.undo(int(rest) if rest.strip() else last[-1]), show))
                elif command.startswith("/"):
                    terminal.note(_HELP)
                elif said:
                    self._run(_shown(assistant.turn(said), show))
            except TollkeeperError as error:
                terminal.error(error.message)
            except KeyboardInterrupt:
                terminal.note("Broken off.")


async def _only(model: ThroughGate) -> str:
    """The one model that the key may use. Raises CallerError where there is not just one."""
    names = await model.names()
    if len(names) == 1:
        return names[0]
    some = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    words = f"Say which model: --model, or [assistant] model. There are: {some}." if names else "The gate has no model."
    raise CallerError(words, code="invalid_value", param="model")


async def _shown(events: AsyncGenerator[Event, None], show: Show) -> Ended | None:
    """How it ended."""
    ended = None
    async with aclosing(events):
        async for event in events:
            show(event)
            if isinstance(event, Ended):
                ended = event
    return ended
