"""Variables of a request."""

import pytest

from kit.exchanges import exchange
from tollkeeper.routes.variables import filled

FORM = exchange("/", "POST", body=b"name=ada&x=1", content_type="application/x-www-form-urlencoded")
JSON = exchange("/", "POST", body=b'{"model":{"name":"m","on":true}}', content_type="application/json")
GRAPHQL = exchange("/graphql", "POST", body=b'{"query":"query getRepo { owner { name } }"}')


@pytest.mark.parametrize(
    ("asked", "name", "value"),
    [
        (FORM, "post_arg_name", "ada"),
        (FORM, "post_arg_no", None),
        (JSON, "post_arg.model.name", "m"),
        (JSON, "post_arg.model.on", "true"),
        (JSON, "post_arg.model.no.more", None),
        (GRAPHQL, "graphql_operation", "query"),
        (GRAPHQL, "graphql_name", "getRepo"),
        (GRAPHQL, "graphql_root_fields", "owner"),
        (exchange(host="A.com:80"), "host", "a.com"),
        (exchange("/a", query="b=1"), "request_uri", "/a?b=1"),
        (exchange(), "no_such", None),
        (exchange(cookie='odd={"a":[1]}; b[]=x; c="d"; e=f=g'), "cookie_c", "d"),
        (exchange(cookie='odd={"a":[1]}; b[]=x; c="d"; e=f=g'), "cookie_e", "f=g"),
        (exchange(cookie="a; b=1"), "cookie_a", None),
        (exchange(authorization="Basic am86cHc="), "remote_user", "jo"),
        (exchange(authorization="Basic !"), "remote_user", None),
        (exchange("/a"), "document_uri", "/a"),
        (FORM, "request_body", "name=ada&x=1"),
        (exchange(), "upstream_status", None),
        (exchange(), "time_iso8601", None),
    ],
)
def test_a_variable_has_its_value(asked: object, name: str, value: str | None) -> None:
    assert asked.var(name) == value  # type: ignore[attr-defined]


def test_a_template_is_filled() -> None:
    assert filled("$remote_addr/${arg_a}b-$arg_no.", exchange(query="a=1")) == "127.0.0.1/1b-."


def test_variables_that_tell_the_time_and_what_the_upstream_did() -> None:
    asked = exchange()
    asked.clocks = (lambda: 1_795_878_287.5, lambda: 2.25)
    asked.node, asked.upstream_status, asked.upstream_seconds = "[::1]:80", 503, 0.5
    told = {
        "time_iso8601": "2026-11-28T15:04:47+00:00",
        "time_local": "28/Nov/2026:15:04:47 +0000",
        "msec": "1795878287.500",
        "request_time": "2.250",
        "upstream_status": "503",
        "upstream_response_time": "0.500",
        "balancer_ip": "::1",
        "balancer_port": "80",
    }
    assert {name: asked.var(name) for name in told} == told
