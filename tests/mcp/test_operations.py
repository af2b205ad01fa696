"""Operations as tools: names that every client takes, arguments from everywhere, and requests that are one request each."""

from typing import Any

import pytest

from tollkeeper.mcp.operations import BadArguments, Found, Operation, operations


def _found(paths: Any, **more: Any) -> Found:
    options = {name: more.pop(name) for name in ("base_path", "prefix", "only", "most") if name in more}
    return operations({"openapi": "3.1.0", "paths": paths, **more}, **options)


def _one(path: str, operation: Any, method: str = "get", **more: Any) -> Operation:
    [found] = _found({path: {method: operation}}, **more).operations
    return found


def _parameter(name: str, place: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "in": place, "schema": {}, **more}


@pytest.mark.parametrize(
    ("operation_id", "name"),
    [
        ("getSpeaker", "getSpeaker"),
        ("speakers.get one!", "speakers_get_one"),
        (None, "get_speaker_id_topics"),
        ("", "get_speaker_id_topics"),
        ("日本", "c_"),
    ],
)
def test_a_name_is_made_of_what_every_client_takes(operation_id: str | None, name: str) -> None:
    operation = {"operationId": operation_id, "parameters": [_parameter("id", "path")]}
    found = _one("/speaker/{id}/topics", operation, prefix="c_" if operation_id == "日本" else "")
    assert found.name == name


def test_long_names_stay_different() -> None:
    found = _found({"/a": {"get": {"operationId": "x" * 100}}, "/b": {"get": {"operationId": "x" * 101}}})
    names = [operation.name for operation in found.operations]
    assert [len(name) for name in names] == [64, 64]
    assert names[0] != names[1]


def test_what_cannot_be_a_tool_is_left_out_with_its_reason() -> None:
    upload = {"requestBody": {"required": True, "content": {"multipart/form-data": {}}}}
    found = _found(
        {
            "/a/{id}": {"get": {"operationId": "a"}},
            "/b": {"post": {"operationId": "b", **upload}},
            "/c": {"get": {"parameters": [_parameter("session", "cookie", required=True)]}},
            "/d": {"get": {"parameters": [{"$ref": "other.yaml#/x"}]}},
            "/e\r\nhost: evil": {"get": {"operationId": "e"}},
            "/f": {"get": {"operationId": "same"}, "put": {"operationId": "same"}},
            "/g": {"get": {"operationId": "g"}},
            "/h": {"get": {"operationId": "h"}},
        },
        most=2,
    )
    assert [operation.name for operation in found.operations] == ["same", "g"]
    reasons = " ".join(found.left_out)
    for words in ("{id}", "neither JSON", "cookie", "outside", "as it is", "another same", "more than 2"):
        assert words in reasons


def test_only_those_that_are_named_are_taken() -> None:
    paths = {"/a": {"get": {"operationId": "a"}}, "/b": {"get": {"operationId": "b"}}}
    assert [operation.name for operation in _found(paths, only=["b"], prefix="x_").operations] == ["x_b"]


@pytest.mark.parametrize(
    ("servers", "base_path", "path"),
    [
        ([{"url": "https://api.example/v2/"}], None, "/v2/a"),
        ([{"url": "/v3"}], None, "/v3/a"),
        ([{"url": "https://{host}/x"}], None, "/x/a"),
        ([{"url": "https://api.example/{version}"}], None, "/a"),
        ([{"url": "https://["}], None, "/a"),
        ("nonsense", None, "/a"),
        ([{"url": "https://api.example/v2"}], "/conference/", "/conference/a"),
    ],
)
def test_a_path_begins_where_the_api_does(servers: Any, base_path: str | None, path: str) -> None:
    assert _one("/a", {}, servers=servers, base_path=base_path).path == path


@pytest.mark.parametrize(
    ("parameter", "value", "query"),
    [
        ({}, "a b&c", "q=a+b%26c"),
        ({}, 5, "q=5"),
        ({}, True, "q=true"),
        ({}, ["a", "b"], "q=a&q=b"),
        ({"explode": False}, ["a", "b"], "q=a%2Cb"),
        ({"style": "pipeDelimited", "explode": False}, ["a", "b"], "q=a%7Cb"),
        ({}, {"x": 1, "y": "z"}, "x=1&y=z"),
        ({"style": "deepObject"}, {"x": 1}, "q%5Bx%5D=1"),
        ({"content": {"application/json": {"schema": {}}}}, {"x": 1}, "q=%7B%22x%22%3A1%7D"),
    ],
)
def test_an_argument_is_put_into_the_query_as_the_document_says(parameter: Any, value: Any, query: str) -> None:
    operation = _one("/a", {"parameters": [_parameter("q", "query", **parameter)]})
    assert operation.prepared({"q": value}).query == query


def test_an_argument_in_a_path_stays_in_its_place() -> None:
    operation = _one("/files/{name}/x", {"parameters": [_parameter("name", "path")]})
    assert operation.prepared({"name": "a/b?c#d e%2F"}).path == "/files/a%2Fb%3Fc%23d%20e%252F/x"
    for bad in ("..", ".", "", None, "../x", "a/../b", "a/."):
        with pytest.raises(BadArguments):
            operation.prepared({"name": bad})
    both = _one("/{a}{b}", {"parameters": [_parameter("a", "path"), _parameter("b", "path")]})
    with pytest.raises(BadArguments, match="dots"):
        _one("/files/{name}", {"parameters": [_parameter("name", "path")]}).prepared({"name": ""})
    with pytest.raises(BadArguments, match="dots"):
        both.prepared({"a": ".", "b": "."})


def test_a_header_is_one_header_and_never_one_of_the_connections() -> None:
    names = ("X-One", "Authorization", "Host", "Content-Length", "X Bad")
    operation = _one("/a", {"parameters": [_parameter(name, "header") for name in names]})
    assert set(operation.takes["properties"]) == {"X-One"}
    assert operation.prepared({"X-One": "é"}).headers == ((b"x-one", "é".encode()),)
    with pytest.raises(BadArguments):
        operation.prepared({"X-One": "a\r\nb: c"})


@pytest.mark.parametrize(
    ("content", "value", "kind", "body"),
    [
        ({"text/plain": {}, "application/json": {}}, {"a": 1}, b"application/json", b'{"a":1}'),
        ({"application/vnd.x+json": {}}, [1], b"application/vnd.x+json", b"[1]"),
        (
            {"application/x-www-form-urlencoded": {}},
            {"a": "b c", "d": [1, 2]},
            b"application/x-www-form-urlencoded",
            b"a=b+c&d=1&d=2",
        ),
        ({"text/plain": {}}, "hello", b"text/plain", b"hello"),
    ],
)
def test_a_body_is_written_as_its_kind_is(content: Any, value: Any, kind: bytes, body: bytes) -> None:
    prepared = _one("/a", {"requestBody": {"content": content}}, "post").prepared({"body": value})
    assert (dict(prepared.headers)[b"content-type"], prepared.body) == (kind, body)


def test_arguments_of_one_name_are_told_apart() -> None:
    parameters = [_parameter("id", "path"), _parameter("id", "query"), _parameter("body", "query")]
    operation = _one("/{id}", {"parameters": parameters, "requestBody": {"content": {"application/json": {}}}}, "post")
    assert set(operation.takes["properties"]) == {"id", "query_id", "body", "request_body"}
    prepared = operation.prepared({"id": "1", "query_id": "2", "body": "3", "request_body": {}})
    assert (prepared.path, prepared.query, prepared.body) == ("/1", "id=2&body=3", b"{}")
    assert operation.prepared({"id": "1"}).body == b""


def test_a_schema_that_is_too_large_is_left_unsaid() -> None:
    schema = {"type": "object", "properties": {f"field{number}": {"type": "string"} for number in range(2000)}}
    operation = _one("/a", {"requestBody": {"content": {"application/json": {"schema": schema}}}}, "post")
    assert operation.takes["properties"] == {"body": {}}


def test_what_changes_something_is_said() -> None:
    assert [_one("/a", {}, method).reads for method in ("get", "head", "post", "put", "delete")] == [True, True] + [
        False
    ] * 3
    assert [_one("/a", {}, method).repeatable for method in ("get", "post", "put", "patch", "delete")] == [
        True,
        False,
        True,
        False,
        True,
    ]
