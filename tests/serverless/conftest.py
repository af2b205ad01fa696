"""One Lambda's gate over a table of moto's, before a scripted upstream."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from kit.dynamodb import CREDENTIALS, REGION, blocking, moto, new_place
from kit.scripted import ScriptedUpstream, chat_answer, json_answer
from tollkeeper.serverless.running import Running
from tollkeeper.stores.dynamodb.keys import DynamoKeyStore
from tollkeeper.stores.dynamodb.table import Place

PEPPER = "pepper-of-the-tests"
CONFIG = """
[log]
format = "json"
[retry]
retries = 0
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "env:UP_KEY"
[models.m]
targets = ["up/m"]
price = {{ input = 1, output = 1 }}
[websocket]
model = "m"
"""


@pytest.fixture(scope="session")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with moto(tmp_path_factory.mktemp("moto")) as address:
        yield address


@pytest.fixture
def place(url: str) -> Place:
    return new_place(url)


@pytest.fixture
def upstream() -> Iterator[ScriptedUpstream]:
    """Says hello in nine tokens and two."""
    with ScriptedUpstream(json_answer(200, chat_answer("Hello!", 9, 2))) as scripted:
        yield scripted


@pytest.fixture
def environment(place: Place, tmp_path: Path, upstream: ScriptedUpstream) -> dict[str, str]:
    """What a Lambda's says."""
    config = tmp_path / "tollkeeper.toml"
    config.write_text(CONFIG.format(url=upstream.url), "utf-8")
    return {
        "AWS_REGION": REGION,
        "AWS_ACCESS_KEY_ID": CREDENTIALS.access_key,
        "AWS_SECRET_ACCESS_KEY": CREDENTIALS.secret_key,
        "TOLLKEEPER_CONFIG": str(config),
        "TOLLKEEPER_DYNAMODB_URL": place.url,
        "TOLLKEEPER_TABLE": place.name,
        "TOLLKEEPER_PEPPER": PEPPER,
        "UP_KEY": "sk-provider",
    }


@pytest.fixture
def keys(place: Place) -> DynamoKeyStore:
    return DynamoKeyStore(blocking(place), PEPPER, time.time, os.urandom)


@pytest.fixture
def start(environment: dict[str, str]) -> Iterator[Callable[[], Running]]:
    """Another Lambda of the same function."""
    started: list[Running] = []

    def begin() -> Running:
        started.append(Running(environment))
        return started[-1]

    yield begin
    for each in started:
        each.close()
