"""A model behind the gate, asked as any caller asks it: Chat Completions, streamed, with a key."""

from collections.abc import AsyncGenerator
from typing import Protocol

import msgspec

from tollkeeper.core.account import Patience
from tollkeeper.core.conversation import Conversation
from tollkeeper.core.deltas import Delta, Failed, Failure
from tollkeeper.core.errors import TollkeeperError, UpstreamError
from tollkeeper.core.ports import Outbound
from tollkeeper.core.translation import Sitting, Terms
from tollkeeper.dialects.openai_chat.translator import TRANSLATOR
from tollkeeper.wire.sse import EventScanner

_ORIGIN = "tollkeeper"
_LONGEST_ERROR = 65_536
_LONGEST_LIST = 4 * 1024 * 1024


class Model(Protocol):
    """Who answers."""

    def __call__(self, conversation: Conversation) -> AsyncGenerator[Delta, None]:
        """The answer's pieces as they come. Raises TollkeeperError where there is none, or it breaks off."""
        ...


class ThroughGate:
    """Implements `Model`. `url` is the gate's address, with or without /v1.

    `advice` is added to what is said where the gate does not take the key.
    """

    def __init__(self, outbound: Outbound, url: str, secret: str, seconds: float, advice: str = "") -> None:
        self._outbound = outbound
        self._advice = advice
        self._url = url.rstrip("/").removesuffix("/v1") + "/v1/"
        self._headers = [
            (b"authorization", b"Bearer " + secret.encode()),
            (b"content-type", b"application/json"),
            (b"accept-encoding", b"identity"),
        ]
        self._patience = Patience(first_byte=seconds, idle=seconds, total=seconds)

    async def __call__(self, conversation: Conversation) -> AsyncGenerator[Delta, None]:
        rendered = TRANSLATOR.render_request(conversation, Terms(model=conversation.model or "", origin=_ORIGIN))
        decoder, scanner = TRANSLATOR.decoder(Sitting(origin=_ORIGIN, id="chat")), EventScanner()
        url = self._url + rendered.path
        answer = await self._outbound.send(b"POST", url, self._headers, rendered.body, self._patience)
        try:
            await answer.head()
            if answer.status != 200:
                body, _ = await answer.read(_LONGEST_ERROR)
                raise self._raised(TRANSLATOR.read_error(answer.status, body))
            while (chunk := await answer.next_chunk()) is not None:
                for event in scanner.feed(chunk):
                    for delta in decoder.feed(event):
                        if isinstance(delta, Failed):
                            raise self._raised(delta.failure)
                        yield delta
            if not decoder.finished:
                raise UpstreamError("The answer was cut off.")
            for delta in decoder.close():
                yield delta
        except ValueError as error:
            raise UpstreamError(f"The answer cannot be read: {error}.") from error
        finally:
            answer.close()

    async def names(self) -> list[str]:
        """The models that the key may use. Raises TollkeeperError."""
        answer = await self._outbound.send(b"GET", self._url + "models", self._headers[:1], b"", self._patience)
        try:
            await answer.head()
            body, _ = await answer.read(_LONGEST_LIST)
        finally:
            answer.close()
        if answer.status != 200:
            raise self._raised(TRANSLATOR.read_error(answer.status, body))
        try:
            return [str(each["id"]) for each in msgspec.json.decode(body)["data"]]
        except (ValueError, TypeError, LookupError) as error:
            raise UpstreamError("The list of models cannot be read.") from error

    def _raised(self, failure: Failure) -> TollkeeperError:
        advice = f" {self._advice}" if failure.status == 401 and self._advice else ""
        return UpstreamError(failure.message + advice, status=failure.status, code=failure.code)
