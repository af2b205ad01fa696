"""A published API that is a Python function: its parameters are the request, what it returns or yields is the answer."""

import asyncio
import contextlib
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from tollkeeper.apis.asked import Answered, Asked, Description, Pieces
from tollkeeper.apis.calls import Calls
from tollkeeper.apis.means import Means
from tollkeeper.apis.model import Model
from tollkeeper.apis.options import ApiOptions
from tollkeeper.apis.outside import Outside
from tollkeeper.apis.signature import Signature
from tollkeeper.apis.text import piece as text_piece
from tollkeeper.apis.threads import Threads
from tollkeeper.core.errors import CallerError, ClientLeft, TollkeeperError
from tollkeeper.core.json_examples import example_of

_OVER = object()


class FunctionApi:
    """Implements `Api`. Raises BadType where the function cannot be published."""

    def __init__(self, name: str, path: str, options: ApiOptions, function: Callable[..., Any], means: Means) -> None:
        self._name = name
        self._function = function
        self._means = means
        self._model = options.model
        self._seconds = options.timeout
        self._signature = Signature(function, name)
        self._threads = Threads(options.threads)
        self.description = _description(name, path, options, function, self._signature)

    async def answer(self, asked: Asked) -> Answered:
        """Runs the function. Raises TollkeeperError, and whatever its author's code raises."""
        call = asked.call
        if call.dry:
            raise CallerError(
                "A dry run of a function cannot be foretold: leave x-tollkeeper-dry-run out.",
                code="invalid_value",
                param="x-tollkeeper-dry-run",
            )
        arguments = self._signature.arguments(asked.body, asked.members)
        calls = Calls(call, self._means.handle, self._means.tasks, self._means.monotonic)
        for name, kind in self._signature.given.items():
            arguments[name] = (
                Model(calls, self._model, self._name) if kind is Model else Outside(calls, self._means.outside)
            )
        seconds = self._seconds if call.timeout is None else min(self._seconds, call.timeout)
        watch = _Watch(asked, seconds, self._name)
        streams = False
        try:
            made: Any = await watch.bound(self._begin(arguments))
            if hasattr(made, "__aiter__"):
                pieces: AsyncIterator[Any] = made
                if not asked.streamed:
                    return Answered(body=await watch.bound(self._together(pieces)))
                first = await watch.bound(anext(pieces, _OVER))
                begun = b"" if first is _OVER else self._written(first)
                streams = True
                return Answered(pour=lambda taken: self._pour(pieces, begun, taken, watch, calls))
            body = self._written(made)
        finally:
            if not streams:
                calls.end()
        if not asked.streamed:
            return Answered(body=body)

        async def pour_one(taken: Pieces) -> None:
            taken.take([body])

        return Answered(pour=pour_one)

    async def _begin(self, arguments: dict[str, Any]) -> Any:
        """What the function returns, or the iterator over what it yields."""
        if not self._signature.is_async:
            made = await self._threads.run(lambda: self._function(**arguments))
            return self._threads.pieces(made) if isinstance(made, Iterator) else made
        made = self._function(**arguments)
        return await made if inspect.isawaitable(made) else made

    async def _together(self, pieces: AsyncIterator[Any]) -> bytes:
        """All pieces: a text where they are texts, else a list."""
        async with contextlib.aclosing(pieces):  # type: ignore[type-var]
            gathered = [piece async for piece in pieces]
        for piece in gathered:
            self._written(piece)
        if all(isinstance(piece, str) for piece in gathered):
            return text_piece("".join(gathered))
        return b"[" + b",".join([self._written(piece) for piece in gathered]) + b"]"

    async def _pour(
        self, pieces: AsyncIterator[Any], begun: bytes, taken: Pieces, watch: "_Watch", calls: Calls
    ) -> None:
        try:
            async with contextlib.aclosing(pieces):  # type: ignore[type-var]
                if begun:
                    taken.take([begun])
                while begun:
                    room = taken.blocked
                    if room is not None:
                        await room
                    following = await watch.bound(anext(pieces, _OVER))
                    if following is _OVER:
                        return
                    taken.take([self._written(following)])
        finally:
            calls.end()

    def _written(self, value: Any) -> bytes:
        try:
            return self._signature.written(value)
        except (TypeError, ValueError, RecursionError, OverflowError) as error:
            raise BadAnswer(f"{self._function.__qualname__} promised {self._signature.answer}: {error}") from None


class BadAnswer(TypeError):
    """A function gave what its return type does not allow. Its caller is told that the API failed."""


class _Watch:
    """Ends a function's work when its time is up, or at once when its client has left."""

    def __init__(self, asked: Asked, seconds: float, api: str) -> None:
        self._presence = asked.call.presence
        self._seconds = seconds
        self._api = api
        self._bound: asyncio.Timeout | None = None
        self._presence.on_leave(self._cut)

    async def bound(self, work: Any) -> Any:
        """What `work` gives. Raises TollkeeperError (api_timeout) and ClientLeft."""
        if self._presence.gone:
            getattr(work, "close", lambda: None)()
            raise ClientLeft("The client left.")
        try:
            async with asyncio.timeout(self._seconds) as self._bound:
                return await work
        except TimeoutError:
            expired = self._bound is not None and self._bound.expired()
            if not expired:
                raise  # the function's own
            if self._presence.gone:
                raise ClientLeft("The client left.") from None
            raise TollkeeperError(
                f"The API '{self._api}' did not answer within {self._seconds:g} s.", status=504, code="api_timeout"
            ) from None
        finally:
            self._bound = None

    def _cut(self) -> None:
        if self._bound is not None and not self._bound.expired():
            self._bound.reschedule(asyncio.get_running_loop().time())


def _description(
    name: str, path: str, options: ApiOptions, function: Callable[..., Any], signature: Signature
) -> Description:
    root = {"components": {"schemas": signature.definitions}}
    shown = example_of(signature.answered, root)
    answered = signature.answered
    if signature.streams:
        plain = answered == {"type": "string"}
        answered, shown = ({"type": "string"}, shown) if plain else ({"type": "array", "items": answered}, [shown])
    return Description(
        name=name,
        path=path,
        text=options.description or inspect.getdoc(function) or "",
        model=options.model,
        request=signature.request,
        answer=answered,
        piece=signature.answered,
        example=options.example if options.example is not None else example_of(signature.request, root),
        answer_example=shown,
        definitions=signature.definitions,
    )
