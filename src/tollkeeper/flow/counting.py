"""Counts tokens where a provider reported none, away from the event loop, and settles the attempt when done."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tollkeeper.core.call import Call
from tollkeeper.core.errors import GateError
from tollkeeper.core.events import Outcome
from tollkeeper.core.usage import Usage
from tollkeeper.flow.attempt import Attempt

CountTokens = Callable[[str | None, str], int]
"""(model, text) -> tokens. Blocking; called on a thread."""

_PER_MESSAGE = 3
"""Tokens that frame one chat message (https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken)."""

_FRAMED = frozenset(("chat", "generate_content", "count_tokens"))


class Counting:
    """One thread that counts. Whatever is still being counted at a crash is an open hold, so nothing is lost.

    What waits for it is kept, since it must be counted; `check` keeps calls away while there is too much of it. A key may
    have as much waiting as is left free: so one alone takes half of the room, and whoever comes next finds some. (Dynamic
    thresholds, https://doi.org/10.1109/90.664262.)
    """

    def __init__(self, count: CountTokens, most: int) -> None:
        self.most = most
        """Bytes of requests and answers that may wait before no more calls are taken."""
        self.waiting = 0
        """Bytes that do."""
        self._of: dict[str, int] = {}
        """The same by key; of those alone that have any."""
        self._count = count
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="counting")
        self._pending: set[asyncio.Future[Usage]] = set()

    def check(self, key_id: str) -> None:
        """Raises GateError where so much waits that nothing of this key should be added to it."""
        if self.waiting and self._of.get(key_id, 0) >= self.most - self.waiting:
            raise GateError(
                "More waits to have its tokens counted than the gate can keep up with. Try again in a moment.",
                code="counting_behind",
                headers=((b"retry-after", b"1"),),
            )

    def settle(self, attempt: Attempt, outcome: Outcome, error_code: str | None, delivered: str) -> None:
        """Settles with the request's input and the `delivered` output, counted."""
        call, model = attempt.call, attempt.target.model

        def count() -> Usage:
            tokens = self._prompt(call, model)
            return Usage(input_tokens=tokens, output_tokens=self._count(model, delivered) if delivered else 0)

        size, key_id = _size(call) + len(delivered), call.key.id
        self._wait(key_id, size)
        counting = asyncio.get_running_loop().run_in_executor(self._thread, count)
        self._pending.add(counting)

        def counted(done: asyncio.Future[Usage]) -> None:
            self._pending.discard(done)
            self._wait(key_id, -size)
            failed = done.cancelled() or done.exception() is not None
            attempt.settle(outcome, error_code, None if failed else done.result())

        counting.add_done_callback(counted)

    def _wait(self, key_id: str, size: int) -> None:
        self.waiting += size
        of_key = self._of.pop(key_id, 0) + size
        if of_key:
            self._of[key_id] = of_key

    async def prompt(self, call: Call, model: str | None) -> int:
        """The tokens of a call's input. Raises GateError as `check` does."""
        self.check(call.key.id)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._prompt, call, model)

    def _prompt(self, call: Call, model: str | None) -> int:
        prompts = call.dialect.prompt_texts(call.members)
        frame = _PER_MESSAGE if call.dialect.operation in _FRAMED else 0
        return sum(self._count(model, text) + frame for text in prompts) + frame * bool(prompts)

    async def finish(self) -> None:
        """Waits until all is counted."""
        while self._pending:
            await asyncio.wait(self._pending)
        self._thread.shutdown(wait=False)


def _size(call: Call) -> int:
    return len(call.body) if isinstance(call.body, bytes) else 0
