"""Opens a socket to the first of a model's targets that gives one."""

from urllib.parse import quote

from tollkeeper.core.account import Target
from tollkeeper.core.call import Call
from tollkeeper.core.errors import TollkeeperError, UpstreamError, model_not_found
from tollkeeper.core.ports import Connector, Duplex
from tollkeeper.flow.render import render
from tollkeeper.flow.routing import Routing


class Lines:
    """One gate's."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector

    async def open(self, routing: Routing, call: Call) -> tuple[Target, Duplex]:
        """For a call that names a model, whose path and query (without the model) say what the socket is for.

        Raises CallerError (model_not_found), UpstreamError, GateError.
        """
        model = call.model or ""
        if not call.key.may_use(model):
            raise model_not_found(model)
        last: TollkeeperError | None = None
        for target in routing.targets(model):
            account = target.account
            outgoing = render(call, Target(account, None))
            named = "deployment" if account.provider.paths == "azure" else "model"
            url = outgoing.url + ("&" if "?" in outgoing.url else "?") + f"{named}={quote(target.model or '', safe='')}"
            try:
                return target, await self._connector.connect(url, outgoing.headers, account.timeouts)
            except UpstreamError as error:
                last = error
        raise last or model_not_found(model)
