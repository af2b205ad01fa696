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
    ],
)
def test_a_variable_has_its_value(asked: object, name: str, value: str | None) -> None:
    assert asked.var(name) == value  # type: ignore[attr-defined]


def test_a_template_is_filled() -> None:
    assert filled("$remote_addr/${arg_a}b-$arg_no.", exchange(query="a=1")) == "127.0.0.1/1b-."
