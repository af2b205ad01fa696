"""Counts tokens where a provider reported none, away from the event loop, and settles the attempt when done."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tollkeeper.core.call import Call
from tollkeeper.core.events import Outcome
from tollkeeper.core.usage import Usage
from tollkeeper.flow.attempt import Attempt

CountTokens = Callable[[str | None, str], int]
"""(model, text) -> tokens. Blocking; called on a thread."""

_PER_MESSAGE = 3
"""Tokens that frame one chat message (https://cookbook.openai.com/examples/how_to_count_tokens_with_tiktoken)."""

_FRAMED = frozenset(("chat", "generate_content", "count_tokens"))


class Counting:
    """One thread that counts. Whatever is still being counted at a crash is an open hold, so nothing is lost."""

    def __init__(self, count: CountTokens) -> None:
        self._count = count
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="counting")
        self._pending: set[asyncio.Future[Usage]] = set()

    def settle(self, attempt: Attempt, outcome: Outcome, error_code: str | None, delivered: str) -> None:
        """Settles with the request's input and the `delivered` output, counted."""
        call, model = attempt.call, attempt.target.model

        def count() -> Usage:
            tokens = self._prompt(call, model)
            return Usage(input_tokens=tokens, output_tokens=self._count(model, delivered) if delivered else 0)

        counting = asyncio.get_running_loop().run_in_executor(self._thread, count)
        self._pending.add(counting)

        def counted(done: asyncio.Future[Usage]) -> None:
            self._pending.discard(done)
            failed = done.cancelled() or done.exception() is not None
            attempt.settle(outcome, error_code, None if failed else done.result())

        counting.add_done_callback(counted)

    async def prompt(self, call: Call, model: str | None) -> int:
        """The tokens of a call's input."""
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
