"""mocking, through the gate's port."""

import json
from pathlib import Path

from kit.gate import request, running_gate

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
"""


def test_an_answer_is_made_up_by_its_schema(tmp_path: Path) -> None:
    with running_gate(tmp_path, CONFIG) as gate:
        status, headers, body = request("GET", f"{gate.url}/made-up", {})
        plain = request("GET", f"{gate.url}/plain", {})
    found = json.loads(body)

    assert (status, headers["x-mock-by"], headers["x-who"]) == (200, "Tollkeeper", "127.0.0.1")
    assert isinstance(found["id"], int)
    assert found["name"] == "ada"
    assert all(isinstance(tag, str) for tag in found["tags"])
    assert (plain[0], plain[2], "x-mock-by" in plain[1]) == (503, b"{}", False)
