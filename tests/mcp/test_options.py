"""[mcp] is read whole and refuses what it does not know."""

from typing import Any

import msgspec
import pytest

from tollkeeper.mcp.options import McpOptions, OAuthOptions

OAUTH = {"issuer": "https://login.example/team", "resource": "https://gate.example/mcp"}


def test_tools_are_offered_unless_the_config_says_otherwise() -> None:
    assert McpOptions() == McpOptions(enabled=True, origins=[], contact="operators@localhost")


def test_an_unknown_field_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="origin"):
        msgspec.convert({"origin": []}, McpOptions)


def test_an_issuers_document_is_looked_for_where_both_standards_have_it() -> None:
    assert msgspec.convert(OAUTH, OAuthOptions).documents == [
        "https://login.example/.well-known/oauth-authorization-server/team",
        "https://login.example/.well-known/openid-configuration/team",
        "https://login.example/team/.well-known/openid-configuration",
    ]
    short = msgspec.convert({**OAUTH, "issuer": "https://login.example/"}, OAuthOptions)
    assert short.documents == [
        "https://login.example/.well-known/oauth-authorization-server",
        "https://login.example/.well-known/openid-configuration",
    ]


def test_a_scope_that_is_asked_for_by_an_address_stands_in_tokens_by_its_name_alone() -> None:
    scopes = {"read_scope": "api://1234/gate.read", "write_scope": "api://1234/gate.write"}
    options = msgspec.convert({**OAUTH, **scopes}, OAuthOptions)

    assert [options.reads({given}) for given in ("gate.read", "api://1234/gate.read", "gate.write", "read")] == [
        *(True, True, False, False)
    ]
    assert [options.writes({given}) for given in ("gate.write", "gate.read")] == [True, False]
    assert not msgspec.convert({**OAUTH, "read_scope": "a/b"}, OAuthOptions).reads({"b"})


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "http://login.example"},
        {"read_scope": "api://1/all", "write_scope": "api://2/all"},
        {"issuer": "login.example"},
        {"issuer": "https://login.example/?a=b"},
        {"resource": "https://gate.example/mcp#x"},
        {"resource": 'https://gate.example/"mcp'},
        {"resource": "https://user@gate.example/mcp"},
        {"jwks_uri": "file:///keys"},
        {"issuer": "https://["},
        {"read_scope": "two words"},
        {"write_scope": "tollkeeper:read"},
        {"algorithms": ["HS256"]},
        {"algorithms": ["none"]},
        {"algorithms": []},
        {"keep_seconds": 0},
        {"leeway_seconds": 3600},
    ],
)
def test_what_would_not_be_safe_or_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({**OAUTH, **wrong}, OAuthOptions)


def test_an_issuer_on_this_machine_needs_no_tls() -> None:
    assert msgspec.convert({**OAUTH, "issuer": "http://127.0.0.1:8080/realms/team"}, OAuthOptions)
