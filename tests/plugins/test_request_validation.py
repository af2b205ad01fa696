"""request-validation at the gate's door."""

from kit.routed import Site

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
