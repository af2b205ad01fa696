"""Secrets by reference."""

import pytest

from tollkeeper.routes.secrets import NoSecret, resolved


def test_references_are_replaced_wherever_they_are() -> None:
    environment = {"A": "secret", "J": '{"k": "inner"}'}
    given = {"key": "$env://A", "list": ["$ENV://J/k", "plain", 1]}

    assert resolved(given, environment) == {"key": "secret", "list": ["inner", "plain", 1]}


@pytest.mark.parametrize("reference", ["$env://NO", "$env://J/no", "$env://A/k", "$env://NO/k", "$env://"])
def test_what_is_not_there_is_no_secret(reference: str) -> None:
    with pytest.raises(NoSecret):
        resolved({"key": [reference]}, {"A": "secret", "J": '{"k": "inner", "no": 1}'})
