"""request-validation at the gate's door."""

import pytest

from kit.routed import Site
from kit.vitals import resident

BODY = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "age": {"type": "integer"}}}


def test_a_body_that_fits_reaches_the_upstream_as_it_came(site: Site) -> None:
    path = site.route({"request-validation": {"body_schema": BODY}})
    assert site.told(path, "POST", b'{"name": "a"}', content_type="application/json")["body"] == '{"name": "a"}'
    assert site.told(path, "POST", b"name=a", content_type="application/x-www-form-urlencoded")["body"] == "name=a"


def test_what_is_wrong_is_said(site: Site) -> None:
    path = site.route({"request-validation": {"body_schema": BODY}})
    assert site.ask(path, "POST", {"age": 1})[::2] == (400, b'property "name" is required')
    assert site.ask(path, "POST", b"{")[0] == 400
    assert site.ask(path, "POST", b"")[::2] == (400, b"body is empty")
    conf = {"header_schema": {"required": ["x-must"]}, "rejected_code": 422, "rejected_msg": "no"}
    assert site.ask(site.route({"request-validation": conf}))[::2] == (422, b"no")


def test_a_schema_that_cannot_be_used_is_refused(site: Site) -> None:
    assert "invalid schema" in site.refused({"request-validation": {"body_schema": {"properties": {"a": 1}}}})


@pytest.mark.parametrize(
    "plugins",
    [
        {"request-validation": {"body_schema": {"type": "object"}}},
        {"degraphql": {"query": "query($a: String) { a(a: $a) }", "variables": ["a"]}},
        {"body-transformer": {"request": {"input_format": "json", "template": "x"}}},
        {"ai-prompt-guard": {"deny_patterns": ["x"]}},
        {"ai-prompt-decorator": {"prepend": [{"role": "system", "content": "x"}]}},
    ],
    ids=lambda plugins: next(iter(plugins)),
)
def test_a_body_that_no_parser_reads_is_the_callers_mistake_whichever_plugin_reads_it(
    site: Site, plugins: dict[str, object]
) -> None:
    path = site.route(plugins)
    for body in (b'{"a":"\xff"}', b"[" * 100_000):
        assert site.ask(path, "POST", body, content_type="application/json")[0] == 400


def test_a_body_that_no_parser_reads_has_no_variables(site: Site) -> None:
    mocked = {"mocking": {"response_example": "x"}}
    site.route(mocked, uri="/unread", vars=["OR", ["post_arg.a", "==", "1"], ["graphql_name", "==", "x"]])
    for body in (b'{"a":"\xff"}', b"[" * 100_000, b'{"a":2}', b'{"query":5}'):
        assert site.ask("/unread", "POST", body, content_type="application/json")[0] == 404
    assert site.ask("/unread", "POST", b'{"a":1}', content_type="application/json")[0] == 200


def test_a_header_s_name_may_be_written_in_any_case(site: Site) -> None:
    schema = {"required": ["X-Must"], "properties": {"X-Must": {"enum": ["yes"]}}}
    path = site.route({"request-validation": {"header_schema": schema}})
    assert site.ask(path, x_must="yes")[0] == 200
    assert site.ask(path, x_must="no")[::2] == (
        400,
        b'property "X-Must" validation failed: matches none of the enum values',
    )
    assert site.ask(path)[::2] == (400, b'property "X-Must" is required')


def test_a_reference_within_a_schema_is_followed(site: Site) -> None:
    schema = {"$defs": {"name": {"type": "string"}}, "properties": {"who": {"$ref": "#/$defs/name"}}}
    path = site.route({"request-validation": {"body_schema": schema}})
    assert site.ask(path, "POST", {"who": 1})[0] == 400
    assert site.ask(path, "POST", {"who": "a"})[0] == 200
    elsewhere = {"body_schema": {"$ref": "https://example.com/schema"}}
    assert "is not of the form '#/definitions/name'" in site.refused({"request-validation": elsewhere})
    assert "'text' is no type" in site.refused({"request-validation": {"header_schema": {"type": "text"}}})


LISTS = b"[" + b"[]," * 1_000_000 + b"1]"


@pytest.mark.parametrize(
    ("plugins", "body", "kind"),
    [
        ({"request-validation": {"body_schema": {}}}, b"a&" * 500_000, "application/x-www-form-urlencoded"),
        ({"request-validation": {"body_schema": {}}}, LISTS, "application/json"),
        ({"body-transformer": {"request": {"template": "x"}}}, b"a&" * 500_000, "application/x-www-form-urlencoded"),
        ({"body-transformer": {"request": {"template": "x"}}}, LISTS, "application/json"),
        ({"body-transformer": {"request": {"template": "x"}}}, b"<a>" + b"<b/>" * 1_000_000 + b"</a>", "text/xml"),
        (
            {"body-transformer": {"request": {"template": "x"}}},
            b'--a\r\nname="b"\r\n\r\n' * 50_000,
            "multipart/form-data; boundary=a",
        ),
        ({"ai-prompt-guard": {"deny_patterns": ["x"]}}, LISTS, "application/json"),
        ({"degraphql": {"query": "query($a: String) { a(a: $a) }", "variables": ["a"]}}, LISTS, "application/json"),
    ],
)
def test_a_body_of_millions_of_values_is_refused_before_it_fills_the_memory(
    site: Site, plugins: dict[str, object], body: bytes, kind: str
) -> None:
    path = site.route(plugins)
    site.ask(path, "POST", b"{}", content_type="application/json")
    before = resident(site.gate.process.pid)
    status, _, words = site.ask(path, "POST", body, content_type=kind)
    assert (status, b"it has more than" in words) == (413, True)
    assert resident(site.gate.process.pid) - before < 30_000_000


def test_a_route_s_rule_reads_no_more_of_a_body_either(site: Site) -> None:
    site.route({"mocking": {"response_example": "x"}}, uri="/counted", vars=[["post_arg_a", "==", "1"]])
    form = {"content_type": "application/x-www-form-urlencoded"}
    assert site.ask("/counted", "POST", b"a=1", **form)[0] == 200
    assert site.ask("/counted", "POST", b"b&" * 2000 + b"a=1", **form)[0] == 413


def test_a_schema_may_refer_to_itself(site: Site) -> None:
    schema = {"required": ["value"], "properties": {"more": {"items": {"$ref": "#"}}}}
    path = site.route({"request-validation": {"body_schema": schema}})
    assert site.ask(path, "POST", {"value": 1, "more": [{"value": 2, "more": [{"value": 3}]}]})[0] == 200
    status, _, words = site.ask(path, "POST", {"value": 1, "more": [{"value": 2, "more": [{}]}]})
    assert (status, words.endswith(b'property "value" is required')) == (400, True)
    deep = b'{"value":1,"more":[' * 400 + b'{"value":1}' + b"]}" * 400
    assert site.ask(path, "POST", deep)[::2] == (400, b"value is nested too deeply")
    circle = {"body_schema": {"allOf": [{"$ref": "#"}]}}
    assert "leads to itself" in site.refused({"request-validation": circle})
