"""mcp-operations: what a route may say of its document. What the tools do is in tests/server/test_routed_operations.py."""

import pytest

from tollkeeper.plugins.mcp_operations import McpOperations
from tollkeeper.routes import json_schema

DOCUMENT = {"openapi": "3.1.0", "paths": {"/a": {"get": {}}}}


@pytest.mark.parametrize(
    "conf", [{"openapi": DOCUMENT}, {"openapi": "openapi: 3.1.0\npaths: {/a: {get: {}}}"}, {"file": "a/b.yaml"}]
)
def test_one_source_is_enough(conf: dict[str, object]) -> None:
    assert json_schema.wrong(conf, McpOperations.schema) is None
    McpOperations.check(conf, ())


@pytest.mark.parametrize(
    ("conf", "words"),
    [
        ({}, "expected one of"),
        ({"openapi": DOCUMENT, "url": "https://api.example/openapi.json"}, "expected one of"),
        ({"file": "/etc/passwd"}, "below the folder"),
        ({"file": "a/../../b"}, "below the folder"),
        ({"openapi": "x: 1"}, "expected openapi"),
        ({"openapi": DOCUMENT, "only": ["other"]}, "none of its operations"),
        ({"openapi": "openapi: 3.1.0\npaths: {/a: {get: {}}}", "max_bytes": 10}, "at most 10"),
    ],
)
def test_what_cannot_become_tools_is_refused(conf: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        McpOperations.check(conf, ())
