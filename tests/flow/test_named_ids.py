"""What a request names: found in its path, query and body however it is written, and not where it is only spoken of."""

import json
from typing import Any

import pytest
from msgspec import structs

from kit.calls import call, key
from tollkeeper.core.call import Call
from tollkeeper.core.errors import CallerError
from tollkeeper.flow.named_ids import in_path, is_surely_id, may_name, named
from tollkeeper.wire import json_text


def _call(body: Any = None, path: str = "responses", query: bytes = b"") -> Call:
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    members = json_text.members(data) if data else {}
    return structs.replace(call(key()), path=path, query=query, body=data, members=members)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({"previous_response_id": "resp_1"}, ["resp_1"]),
        ({"previous_response_id": None, "conversation": {"id": "conv_1"}}, ["conv_1"]),
        ({"container": "cntr_1", "model": "m"}, ["cntr_1"]),
        ({"container": {"id": "cntr_1", "skills": []}}, ["cntr_1"]),
        ({"training_file": "file-1", "validation_file": "file-2"}, ["file-1", "file-2"]),
        ({"input": [{"content": [{"type": "input_file", "file_id": "file-1"}]}]}, ["file-1"]),
        ({"tools": [{"vector_store_ids": ["vs_1", "vs_2"]}], "conversation": "conv_1"}, ["vs_1", "vs_2", "conv_1"]),
        ({"tool_resources": {"code_interpreter": {"file_ids": ["file-1"]}}}, ["file-1"]),
        ({"assistant_id": "asst_1"}, ["asst_1"]),
        ({"source": {"type": "file_id", "id": "file-1"}}, ["file-1"]),
        ({"messages": [{"content": 'my "file_id": "file-1" is'}]}, []),
        ({"file_id": 7, "file_ids": {"id": 3}, "conversation": ["x", 1, ""]}, ["x"]),
        ({"file_id": "x" * 300}, []),
        (b'{"a":{"file\\u005fid":"file-1"}}', ["file-1"]),
        (b'{"a":{"file_id":"file\\u002d1"}}', ["file-1"]),
        (b'{"a":{"file_id":"file-1","file_id":"file-2"}}', ["file-1", "file-2"]),
        (b'{"a":"caf\\u00e9","previous_response_id":"resp_1"}', ["resp_1"]),
        (b'{"file_id":"file-1","n":' + b"9" * 5000 + b"}", ["file-1"]),
    ],
)
def test_a_body_names_what_its_members_say(body: Any, expected: list[str]) -> None:
    assert named(_call(body)) == expected


def test_a_path_and_a_query_name_things_too() -> None:
    assert named(_call(path="files/file%2D1/content", query=b"after=file-2&limit=3")) == [
        "file-1",
        "content",
        "file-2",
        "3",
    ]
    assert in_path("vector_stores/vs_1/file_batches/vsfb_2/files") == ["vs_1", "vsfb_2"]
    assert in_path("fine_tuning/jobs") == []
    assert in_path("files%2Ffile-1%2fcontent") == ["file-1"]
    assert in_path("files%2F") == []


def test_what_is_surely_an_id_is_no_word_of_a_path_and_no_value_of_a_query() -> None:
    asked = _call({"previous_response_id": "resp_1"}, path="responses/resp_2/input_items", query=b"user=u-1")
    assert [name for name in named(asked) if is_surely_id(name, asked)] == ["resp_1", "resp_2"]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"messages":[{"content":"hi"}]}', False),
        (b'{"messages":[{"content":"caf\\u00e9"}]}', False),
        (b'{"messages":[{"content":[{"file_id":"x"}]}]}', True),
        (b'{"messages":[{"content":[{"\\u0066ile_id":"x"}]}]}', True),
        (b'{"container":"x"}', True),
    ],
)
def test_a_plain_call_need_not_be_read(body: bytes, expected: bool) -> None:
    assert may_name(_call(body)) is expected


def test_what_cannot_be_read_is_refused_rather_than_passed_unread() -> None:
    with pytest.raises(CallerError) as refused:
        named(structs.replace(_call({"file_id": "x"}), body=b'{"file_id":"x","a":' + b"[" * 100_000))
    assert refused.value.code == "invalid_json"
