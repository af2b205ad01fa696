"""Around every published API: whatever goes wrong in it is an error that its caller can read, and one line in the log."""

import asyncio
from collections.abc import Callable
from typing import Any

from tollkeeper.apis.asked import Answered, Api, Asked, Description, Pieces
from tollkeeper.core.errors import ClientLeft, TollkeeperError


class Published:
    """An API with its errors in order. Implements `Api`."""

    def __init__(self, api: Api, say: Callable[..., None]) -> None:
        self._api = api
        self._say = say
        self.description: Description = api.description

    async def answer(self, asked: Asked) -> Answered:
        """Raises TollkeeperError, and only that."""
        own = _running()
        try:
            answered = await self._api.answer(asked)
        except BaseException as error:
            raise self._told(error, asked, own) from None
        pour = answered.pour
        if pour is None:
            return answered

        async def told(pieces: Pieces) -> None:
            own = _running()
            try:
                await pour(pieces)
            except BaseException as error:
                raise self._told(error, asked, own) from None

        answered.pour = told
        return answered

    def _told(self, error: BaseException, asked: Asked, own: "asyncio.Task[Any] | None") -> BaseException:
        if _ends(error, own):
            return error
        name, request_id = self.description.name, asked.call.request_id
        if isinstance(error, ClientLeft):
            return error
        if isinstance(error, TollkeeperError) and error.status in _STATUSES:
            shown, words = error, {}
        else:
            shown = TollkeeperError(f"The API '{name}' failed. Request id: {request_id}.", code="api_failed")
            message = str(error)
            if isinstance(error, TollkeeperError):
                message = f"{error.status!r} is no status of an error, which are 400 to 599: {message}"
            words = {"error": type(error).__name__, "message": message[:_MOST_SAID], "at": _place(error)}
        self._say("api_error", api=name, request_id=request_id, status=shown.status, code=shown.code, **words)
        return shown


_MOST_SAID = 500
_STATUSES = range(400, 600)


def _ends(error: BaseException, own: "asyncio.Task[Any] | None") -> bool:
    """Whether the request's own task is to end, cancelled or closed, and not something that the author's code did.

    That may call exit(), wait for a task that it has cancelled, or raise what is no Exception at all. Ctrl-C at the gate
    raises nothing in it.
    """
    if isinstance(error, GeneratorExit):
        return _running() is not own  # what was left of it is thrown away
    return isinstance(error, asyncio.CancelledError) and own is not None and own.cancelling() > 0


def _running() -> "asyncio.Task[Any] | None":
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop
        return None


def _place(error: BaseException) -> str:
    """The file and line where it was raised, in the innermost frame."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "?"
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
