"""What a client sends, read and checked."""

import pytest

from tollkeeper.core.errors import CallerError
from tollkeeper.sockets import messages


def test_a_message_is_an_action_an_id_and_data() -> None:
    asked = messages.read('{"action":"a","request_id":7,"data":{"x":[1]},"model":"m","more":true}')

    assert (asked.action, asked.id, asked.data, asked.model) == ("a", "7", b'{"x":[1]}', "m")
    assert messages.read("{}") == messages.Asked(None, None, None)


@pytest.mark.parametrize(
    ("text", "code", "param"),
    [
        ("", "invalid_json", None),
        ('"hello"', "invalid_json", None),
        ("{" * 100_000, "invalid_json", None),
        ('{"id":1.5}', "invalid_type", "id"),
        ('{"model":[]}', "invalid_type", "model"),
        (f'{{"id":"{"x" * 129}"}}', "invalid_value", "id"),
    ],
)
def test_what_cannot_be_read_is_told_why(text: str, code: str, param: str | None) -> None:
    with pytest.raises(CallerError) as refused:
        messages.read(text)

    assert (refused.value.code, refused.value.param) == (code, param)
