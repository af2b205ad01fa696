"""`tollkeeper serve`: both ports, until a signal."""

import asyncio
import gc
import os
import shutil
import signal
import socket
import sys
import tempfile
from pathlib import Path

import click
import msgspec
import uvloop

from tollkeeper import config as configuration
from tollkeeper.app import App, open_app
from tollkeeper.cli import serving
from tollkeeper.cli.options import Common, common
from tollkeeper.operator.api import operator_app
from tollkeeper.server.listener import Listener, allow_many_files, bind
from tollkeeper.server.opening import door_of
from tollkeeper.stores.sqlite.sole import sole

_PORT = click.IntRange(0, 65535)
_LAST_WORDS = 5.0
"""Seconds that calls have to settle once they were cancelled."""


async def run(app: App, gate: Listener, operator: Listener, announce: str) -> int:
    """Serves until SIGINT or SIGTERM, then lets calls end. Returns the exit code."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if app.stopping:
            gate.force_exit = operator.force_exit = True
        app.stop()
        gate.should_exit = True

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    loop.add_signal_handler(signal.SIGHUP, app.reload)
    app.start()
    gc.collect()
    gc.freeze()  # what start-up made stays: a collection need not look at it again and again
    # Calls leave no circles behind; at the default threshold of 700, looking for them costs a fifth of the CPU.
    gc.set_threshold(20_000, 20, 50)
    serving = loop.create_task(operator.run_until_told())
    click.echo(announce)
    sys.stdout.flush()
    await gate.run_until_told()
    for task in gate.server_state.tasks:  # their time is up, or a second signal says so: they still settle
        task.cancel()
    if gate.server_state.tasks:
        await asyncio.wait(gate.server_state.tasks, timeout=_LAST_WORDS)
    operator.should_exit = True
    await serving
    return 0 if await app.close() else 1


@click.command()
@click.option("--demo", is_flag=True, help="A built-in `demo` model, a key, and a home that is thrown away.")
@click.option("--reload", "develops", is_flag=True, help="Read published functions anew when their files change.")
@click.option("--host", help="Address of the gate [default: 127.0.0.1].")
@click.option("--port", type=_PORT, help="Port of the gate [default: 9080].")
@click.option("--operator-port", type=_PORT, help="Port for operators [default: 9180].")
@common
def serve(
    options: Common, demo: bool, develops: bool, host: str | None, port: int | None, operator_port: int | None
) -> None:
    """Run the gate until Ctrl-C or SIGTERM."""
    loaded = configuration.load(options.config, os.environ, demo=demo)  # a bad config makes no home
    allow_many_files()
    throw_away = tempfile.mkdtemp(prefix="tollkeeper-demo-") if demo and options.home is None else None
    home = Path(throw_away) if throw_away else options.home or Path(loaded.config.server.home).expanduser()
    server = loaded.config.server
    host = host or server.host
    try:
        with sole(home):
            # First of all: a start that ends here has made no operator key and recovered nothing of which nobody is told.
            gate_socket = bind(host, server.port if port is None else port)
            operator_socket = bind(
                server.operator_host, server.operator_port if operator_port is None else operator_port
            )
            code = uvloop.run(_serve(options, home, demo, develops, host, gate_socket, operator_socket))
    finally:
        if throw_away is not None:
            shutil.rmtree(throw_away, ignore_errors=True)
    raise SystemExit(code)


async def _serve(
    options: Common,
    home: Path,
    demo: bool,
    develops: bool,
    host: str,
    gate_socket: socket.socket,
    operator_socket: socket.socket,
) -> int:
    app = open_app(options.config, home, os.environ, demo=demo, develops=develops)
    server = app.loaded.config.server
    sockets = app.loaded.config.websocket.limits
    gate = Listener(door_of(app), gate_socket, server.limits, server.shutdown_seconds, app.new_id, sockets)
    operator = Listener(operator_app(app), operator_socket, server.limits, 5.0, app.new_id)
    app.gate_url = f"http://{_address(host)}:{gate.port}"
    operator_url = f"http://{_address(server.operator_host)}:{operator.port}"
    serving.write(app.home, serving.Serving(app.gate_url, operator_url))
    about: dict[str, object] = {
        "gate": app.gate_url,
        "operator": operator_url,
        "operator_key_file": str(app.home / "operator.key"),
        "recovered": app.recovered,
        "providers": list(app.loaded.accounts),
    }
    if app.loaded.config.playground.enabled and app.loaded.config.websocket.enabled:
        about["playground"] = f"{app.gate_url}/playground"
    if app.first_start:
        about["operator_key"] = app.operator_key
    if demo:
        key, secret = app.key_store.create("demo")
        app.keys.refresh()
        about |= {"demo_key": secret, "demo_model": "demo", "demo_key_id": key.id}
    return await run(app, gate, operator, _announcement(about, options.json))


def _address(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _announcement(about: dict[str, object], as_json: bool) -> str:
    if as_json:
        return msgspec.json.encode(about).decode()
    lines = [f"Gate      {about['gate']}/v1", f"Operators {about['operator']}"]
    if "playground" in about:
        lines.append(f"Try it    {about['playground']}")
    if "operator_key" in about:
        lines.append(f"Operator key (shown once; also in {about['operator_key_file']}): {about['operator_key']}")
    if "demo_key" in about:
        lines.append(f"Demo key  {about['demo_key']}   model: demo")
    if about["recovered"]:
        attempts = "1 attempt" if about["recovered"] == 1 else f"{about['recovered']} attempts"
        lines.append(f"Recovered {attempts} that a crash had left open")
    if not about["providers"]:
        lines.append("No provider is configured: set OPENAI_API_KEY or write tollkeeper.toml (see docs/configure.md)")
    return "\n".join(lines)
