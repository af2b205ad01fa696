"""Whatever an API raises becomes one of our errors and one line in the log."""

from typing import Any

import pytest

from kit.loops import in_a_loop
from tollkeeper.apis.asked import Answered, Asked, Description, Pieces
from tollkeeper.apis.published import Published
from tollkeeper.core.errors import CallerError, ClientLeft, TollkeeperError

DESCRIPTION = Description(
    name="x", path="/x", text="", model=None, request={}, answer={}, piece={}, example={}, answer_example=None
)


class _Call:
    request_id = "r1"


class Raising:
    """Implements `Api`."""

    description = DESCRIPTION

    def __init__(self, error: Exception, streamed: bool) -> None:
        self._error = error
        self._streamed = streamed

    async def answer(self, asked: Asked) -> Answered:
        async def pour(pieces: Pieces) -> None:
            raise self._error

        if self._streamed:
            return Answered(pour=pour)
        raise self._error


async def raised(error: Exception, streamed: bool) -> tuple[TollkeeperError, list[dict[str, Any]]]:
    lines: list[dict[str, Any]] = []
    api = Published(Raising(error, streamed), lambda name, **fields: lines.append({"event": name, **fields}))
    try:
        answered = await api.answer(Asked(_Call(), b"{}", {}, streamed))  # type: ignore[arg-type]
        assert streamed
        assert answered.pour is not None
        await answered.pour(None)  # type: ignore[arg-type]
    except TollkeeperError as error:
        return error, lines
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize("streamed", [False, True])
@in_a_loop
async def test_a_foreign_error_says_nothing_to_the_caller_and_everything_to_the_log(streamed: bool) -> None:
    error, [line] = await raised(KeyError("secret of ours"), streamed)

    assert (error.status, error.code) == (500, "api_failed")
    assert "secret" not in error.message
    assert "r1" in error.message
    assert (line["event"], line["api"], line["error"], line["status"]) == ("api_error", "x", "KeyError", 500)
    assert "secret of ours" in line["message"]
    assert line["at"].startswith("test_published.py:")


@pytest.mark.parametrize("streamed", [False, True])
@in_a_loop
async def test_an_error_of_ours_stays_what_it_is(streamed: bool) -> None:
    mine = CallerError("no", status=404, code="not_found")

    error, [line] = await raised(mine, streamed)

    assert error is mine
    assert (line["status"], line["code"]) == (404, "not_found")


@in_a_loop
async def test_nobody_is_told_of_a_client_that_left() -> None:
    error, lines = await raised(ClientLeft("left"), True)

    assert isinstance(error, ClientLeft)
    assert lines == []
