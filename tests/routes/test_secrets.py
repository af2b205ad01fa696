"""Secrets by reference."""

from tollkeeper.routes.secrets import resolved


def test_references_are_replaced_wherever_they_are() -> None:
    environment = {"A": "secret", "J": '{"k": "inner"}'}
    given = {"key": "$env://A", "list": ["$ENV://J/k", "$env://NO", "plain", 1]}

    assert resolved(given, environment) == {"key": "secret", "list": ["inner", "$env://NO", "plain", 1]}
