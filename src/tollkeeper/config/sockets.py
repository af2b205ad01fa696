"""Checks the table [websocket] beyond its fields' types."""

from collections.abc import Collection

from tollkeeper.config.reading import Problem, quoted
from tollkeeper.sockets.lobby import BUILT_IN
from tollkeeper.sockets.options import SocketOptions


def check_sockets(given: SocketOptions, apis: Collection[str], problem: Problem) -> None:
    """Notes every problem. `apis` are the names of those that are published."""
    if given.model is not None and given.api is not None:
        problem("websocket.api", "expected either a model or an api, not both")
    for name, action in given.actions.items():
        dotted = f"websocket.actions.{quoted(name)}"
        if name in BUILT_IN:
            problem(dotted, f"'{name}' is there already; expected another name")
        if (action.model is None) == (action.api is None):
            problem(dotted, "expected a model or an api, one of them")
        if action.api is not None and action.api not in apis:
            problem(f"{dotted}.api", f"there is no [apis.{quoted(action.api)}]")
    if given.api is not None and given.api not in apis:
        problem("websocket.api", f"there is no [apis.{quoted(given.api)}]")
    for name in sorted(BUILT_IN & set(apis)):
        problem(f"apis.{name}", "a socket's action is called so; expected another name")
    for origin in given.origins:
        if origin != "*" and not origin.startswith(("http://", "https://")):
            problem("websocket.origins", f"expected 'https://host', 'http://host:port' or '*', got '{origin}'")
