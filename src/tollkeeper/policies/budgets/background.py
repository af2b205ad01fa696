"""Responses that a provider goes on with after its answer: what is held for them stays held until their end is seen.

https://platform.openai.com/docs/guides/background: their usage comes with a later GET.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from tollkeeper.core.errors import TollkeeperError
from tollkeeper.core.usage import Usage
from tollkeeper.policies.budgets.ceiling import NO_END

_LONGEST_MS = 3_600_000
"""What nobody has looked at by then is not waited for: nobody may ever look."""
_MOST = 10_000


class Releasable(Protocol):
    """What is held."""

    def release(self) -> None: ...


class Background:
    """What goes on at providers, by account and response. In memory: after a restart nothing is held for them."""

    def __init__(self) -> None:
        self._going_on: dict[tuple[str, str], tuple[int, Releasable]] = {}
        self.charging: dict[str, Releasable] = {}
        """What is held until the event of that request is spent."""

    def __len__(self) -> int:
        return len(self._going_on) + len(self.charging)

    def keep(self, account: str, response: str, held: Releasable, at_ms: int) -> None:
        """It goes on; `at_ms` is when it began."""
        going_on = self._going_on
        while going_on:
            first = next(iter(going_on))
            if len(going_on) < _MOST and going_on[first][0] + _LONGEST_MS > at_ms:
                break
            going_on.pop(first)[1].release()
        going_on[account, response] = at_ms, held

    def ended(self, account: str, response: str, request_id: str) -> None:
        """Its usage is known now, and that request's event will charge it."""
        found = self._going_on.pop((account, response), None)
        if found is not None:
            self.charging[request_id] = found[1]

    def charged(self, request_id: str) -> None:
        """That event has been spent."""
        held = self.charging.pop(request_id, None)
        if held is not None:
            held.release()


class Look:
    """Implements `core.ports.Reservation` for a look at what is stored: it costs nothing, and may tell of an end."""

    held_nano: int | None = None
    held_tokens: int | None = None
    changes: Mapping[str, bytes] = {}
    headers: Sequence[tuple[bytes, bytes]] = ()
    output_tokens = NO_END

    def __init__(self, background: Background, account: str, request_id: str) -> None:
        self._background = background
        self._account = account
        self._request_id = request_id

    def grow(self, output_tokens: int) -> bool:
        return True

    def stopped(self) -> TollkeeperError:
        raise AssertionError("a look holds nothing that could be spent")

    def settle(self, cost_nano: int | None, usage: Usage, response: str | None, ended: bool) -> None:
        if response is not None and ended:
            self._background.ended(self._account, response, self._request_id)

    def release(self) -> None:
        """It holds nothing."""
