"""Requests that only ask how many tokens another would have: relayed where the provider counts, else counted here."""

from tollkeeper.core.call import Call, Reply
from tollkeeper.dialects.token_counts import OPERATION, TokenCount
from tollkeeper.flow.choosing import Pool
from tollkeeper.flow.counting import Counting

_HEADERS = ((b"content-type", b"application/json"), (b"x-tollkeeper-estimated", b"input_tokens"))


class TokenCounting:
    """One gate's."""

    def __init__(self, counting: Counting) -> None:
        self._counting = counting

    def takes(self, call: Call, pool: Pool) -> bool:
        """Whether nobody but the gate can count: the first target's provider does not."""
        dialect = call.dialect
        if dialect.operation != OPERATION or not isinstance(dialect, TokenCount):
            return False
        surface = pool.members[0].target.account.provider.speaks.get(dialect.of.name)
        return surface is None or not surface.counts

    async def __call__(self, call: Call, pool: Pool) -> Reply:
        """The answer in the client's dialect, marked as an estimate: other tokenizers count otherwise."""
        dialect = call.dialect
        assert isinstance(dialect, TokenCount)
        tokens = await self._counting.prompt(call, pool.members[0].target.model)
        return Reply(200, list(_HEADERS), dialect.render(tokens))
