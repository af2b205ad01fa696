"""mocking, through the gate's port."""

import json
from pathlib import Path

from kit.gate import request, running_gate
from kit.routed import Site

CONFIG = """
[routes.made_up]
uri = "/made-up"
[routes.made_up.plugins.mocking]
response_headers = { X-Who = "$remote_addr" }
[routes.made_up.plugins.mocking.response_schema.properties]
id = { type = "integer" }
name = { type = "string", example = "ada" }
tags = { type = "array", items = { type = "string" } }
[routes.plain]
uri = "/plain"
plugins.mocking = { response_example = "{}", with_mock_header = false, response_status = 503 }
[routes.xml]
uri = "/xml"
[routes.xml.plugins.mocking]
content_type = "application/xml"
[routes.xml.plugins.mocking.response_schema]
example = { id = 7, name = "a<b", tags = ["x", "y"], on = true }
"""


def test_an_answer_is_made_up_by_its_schema(tmp_path: Path) -> None:
    with running_gate(tmp_path, CONFIG) as gate:
        status, headers, body = request("GET", f"{gate.url}/made-up", {})
        plain = request("GET", f"{gate.url}/plain", {})
        xml = request("GET", f"{gate.url}/xml", {})
    found = json.loads(body)

    assert (status, headers["x-mock-by"], headers["x-who"]) == (200, "Tollkeeper", "127.0.0.1")
    assert isinstance(found["id"], int)
    assert found["name"] == "ada"
    assert all(isinstance(tag, str) for tag in found["tags"])
    assert (plain[0], plain[2], "x-mock-by" in plain[1]) == (503, b"{}", False)
    assert xml[2] == b"<data><id>7</id><name>a&lt;b</name><tags>x</tags><tags>y</tags><on>true</on></data>"


def test_a_schema_that_is_none_is_refused(site: Site) -> None:
    conf = {"response_schema": {"properties": {"a": 1}}}
    assert "invalid schema at response_schema.a" in site.refused({"mocking": conf})
    odd = {"properties": {"a": True, "b": {"type": "array", "items": [{"type": "integer"}]}, "c": {"enum": []}}}
    assert site.ask(site.route({"mocking": {"response_schema": odd}}))[0] == 200
