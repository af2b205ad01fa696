"""The provider before which these tests put their gates, one for the tests of a file; each has it answer as it needs."""

from collections.abc import Iterator

import pytest

from kit.scripted import ScriptedUpstream, chat_answer, json_answer


@pytest.fixture(scope="module")
def upstream() -> Iterator[ScriptedUpstream]:
    with ScriptedUpstream(json_answer(200, chat_answer())) as scripted:
        yield scripted
