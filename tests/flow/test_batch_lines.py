"""A batch's file is looked through as it goes by, however it is cut, and breaks off where it must not pass."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from tollkeeper.core.call import Upload
from tollkeeper.core.errors import CallerError
from tollkeeper.flow.batch_lines import watched

PURPOSE = b'--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n%b\r\n'
FILE = b'--x\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n%b\r\n'
ROW = b'{"custom_id":"1","body":{"messages":[{"content":[{"file":{%b}}]}]}}\n'


def _passed(form: bytes, size: int = 7, kind: str = "multipart/form-data; boundary=x") -> tuple[bytes, str | None]:
    """What came through, and the code that it broke off with."""

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, len(form), size):
            yield form[at : at + size]

    def refusal(names: Sequence[str]) -> CallerError | None:
        return CallerError("Not yours.", code="object_not_found") if "file-theirs" in names else None

    async def go() -> tuple[bytes, str | None]:
        through = b""
        try:
            escaped = CallerError("Escaped.", code="invalid_value")
            async for piece in watched(Upload(pieces(), len(form)), kind, refusal, escaped).chunks:
                through += piece
        except CallerError as error:
            return through, error.code
        return through, None

    return asyncio.run(go())


@pytest.mark.parametrize("size", [1, 5, 64, 100_000])
@pytest.mark.parametrize(
    "named",
    [
        b'"file_id":"file-theirs"',
        b'"file_id" : "file-theirs"',
        b'"file_ids":["file-mine", "file-theirs"]',
        b'"conversation":{"id":"file-theirs"}',
    ],
)
def test_a_line_that_names_what_is_anothers_does_not_pass(size: int, named: bytes) -> None:
    lines = FILE % (ROW % b'"file_id":"file-mine"' + ROW % named)
    for form in (PURPOSE % b"batch" + lines + b"--x--", lines + PURPOSE % b"batch" + b"--x--"):
        through, code = _passed(form, size)
        assert code == "object_not_found"
        assert len(through) < len(form)
        assert form.startswith(through)


@pytest.mark.parametrize(
    ("purpose", "content"),
    [
        (b"batch", ROW % b'"file_id":"file-mine"'),
        (b"batch", ROW % b'"text":"say \\"file_id\\": \\"file-theirs\\""'),
        (b"batch", ROW % b'"text":"caf\\u00e9 \\u003cb> \\\\u0061"'),
        (b"user_data", ROW % b'"file_id":"file-theirs"'),
        (b"user_data", b"\\u0061"),
    ],
)
def test_everything_else_passes_as_it_is(purpose: bytes, content: bytes) -> None:
    form = PURPOSE % purpose + FILE % content + b"--x--"
    assert _passed(form) == (form, None)


def test_a_hidden_name_does_not_pass() -> None:
    form = PURPOSE % b"batch" + FILE % (ROW % b'"file\\u005fid":"file-theirs"') + b"--x--"
    assert _passed(form)[1] == "invalid_value"


def test_what_cannot_be_read_as_a_form_is_taken_for_a_batch() -> None:
    form = PURPOSE % b"user_data" + PURPOSE % b"batch" + FILE % (ROW % b'"file_id":"file-theirs"') + b"--x--"
    assert _passed(form)[1] == "object_not_found"
    assert _passed(b"anything", kind="multipart/form-data") == (b"anything", None)
