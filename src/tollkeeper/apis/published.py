"""Around every published API: whatever goes wrong in it is an error that its caller can read, and one line in the log."""

import asyncio
from collections.abc import Callable

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
        try:
            answered = await self._api.answer(asked)
        except _MISTAKES as error:
            raise self._told(error, asked) from None
        pour = answered.pour
        if pour is None:
            return answered

        async def told(pieces: Pieces) -> None:
            try:
                await pour(pieces)
            except _MISTAKES as error:
                raise self._told(error, asked) from None

        answered.pour = told
        return answered

    def _told(self, error: BaseException, asked: Asked) -> BaseException:
        if isinstance(error, asyncio.CancelledError) and _is_cancelled():
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
_MISTAKES = (Exception, SystemExit, KeyboardInterrupt, asyncio.CancelledError)
"""An author's code may call exit(), or wait for a task that it has cancelled. Ctrl-C at the gate raises nothing in it."""


def _is_cancelled() -> bool:
    """Whether the request's own task is to end, and not something that it waited for."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _place(error: BaseException) -> str:
    """The file and line where it was raised, in the innermost frame."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "?"
    return f"{trace.tb_frame.f_code.co_filename.rpartition('/')[2]}:{trace.tb_lineno}"
