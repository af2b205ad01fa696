"""One Lambda: it says what is missing, and keys are made for it from a terminal."""

from collections.abc import Callable

import pytest

from kit.terminal import tollkeeper
from tollkeeper.core.errors import ConfigError
from tollkeeper.serverless.running import Running, seconds_left
from tollkeeper.stores.dynamodb.keys import DynamoKeyStore


def test_an_environment_without_a_pepper_is_refused(environment: dict[str, str]) -> None:
    del environment["TOLLKEEPER_PEPPER"]

    with pytest.raises(ConfigError, match="TOLLKEEPER_PEPPER"):
        Running(environment)


def test_keys_are_made_in_the_table_by_the_command(
    environment: dict[str, str], start: Callable[[], Running], keys: DynamoKeyStore
) -> None:
    done = tollkeeper("keys", "create", "--name", "ada", "--budget", "5 USD/month", "--json", environment=environment)
    secret = done.json()["key"]

    found = start().app.keys.find(secret.encode())

    assert found is not None
    assert found == keys.get("ada")


def test_what_is_one_lambdas_alone_ends_with_it(environment: dict[str, str]) -> None:
    running = Running(environment)
    assert running.app.home.is_dir()

    running.close()

    assert not running.app.home.exists()


def test_time_is_what_lambda_says_is_left() -> None:
    class Context:
        @staticmethod
        def get_remaining_time_in_millis() -> int:
            return 2500

    assert (seconds_left(Context()), seconds_left(None)) == (2.5, 29.0)
