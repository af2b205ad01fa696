"""/mcp on the operator port: the gate's administration as tools of the Model Context Protocol, for chat clients.

Whoever shows the operator key has all tools; the viewer key, those that change nothing; an access token, those of its
scopes. The guard in api.py lets nobody else in.
"""

from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response

from tollkeeper.core.errors import CallerError
from tollkeeper.core.version import __version__
from tollkeeper.mcp.origins import may_call
from tollkeeper.mcp.pacing import Pacing
from tollkeeper.mcp.serving import Server, serve
from tollkeeper.mcp.tool import Withheld
from tollkeeper.operator.abilities import INSTRUCTIONS, abilities
from tollkeeper.operator.bodies import raw
from tollkeeper.operator.desks import Desk
from tollkeeper.operator.oauth import Caller
from tollkeeper.routes.administration import Actor

if TYPE_CHECKING:
    from tollkeeper.app import App

CALLER = "tollkeeper.caller"
"""In the ASGI scope: the oauth.Caller that the guard has let in; whoever has the operator key is not named there."""
_SERVER = Server(
    name="tollkeeper-admin", title="Tollkeeper administration", version=__version__, instructions=INSTRUCTIONS
)


async def mcp(request: Request, app: "App", desk: Desk, pacing: Pacing) -> Response:
    """Raises CallerError."""
    origin, own = request.headers.get("origin", ""), request.headers.get("host", "")
    if not may_call(origin, own, app.loaded.config.mcp.origins):
        raise CallerError("This origin may not call here.", status=403, code="origin_not_allowed")
    caller: Caller = request.scope.get(CALLER, Caller())
    pacing.take(f"sub {caller.who}" if caller.who is not None else "operator" if caller.writes else "viewer")
    body = await raw(request)
    actor = Actor(caller.who or request.headers.get("x-tollkeeper-who", "operator")[:128], "mcp")
    tools = abilities(app, desk, actor)
    allowed = [tool for tool in tools if tool.reads or caller.writes]
    withheld = {tool.name for tool in tools} - {tool.name for tool in allowed} if caller.wider is not None else set()

    def failed(name: str, error: Exception) -> None:
        app.log.say("tool_failed", tool=name, error=type(error).__name__)

    headers = dict(request.scope["headers"])
    try:
        told = await serve(_SERVER, request.method, headers, body, allowed, failed, withheld)
    except Withheld:
        assert caller.wider is not None
        raise caller.wider from None
    return Response(told.body, told.status, {name.decode(): value.decode() for name, value in told.headers})
