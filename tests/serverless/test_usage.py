"""What the commands tell of the table's ledger is what they would tell of a home's."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from kit.dynamodb import blocking
from kit.records import ending, hold
from kit.scripted import ScriptedUpstream
from kit.terminal import tollkeeper
from serverless.test_http import ask, event
from tollkeeper.core.events import Event
from tollkeeper.serverless.running import Running
from tollkeeper.stores.dynamodb.keys import DynamoKeyStore
from tollkeeper.stores.dynamodb.ledger import event_item
from tollkeeper.stores.dynamodb.reports import DynamoReports
from tollkeeper.stores.dynamodb.table import Place
from tollkeeper.stores.sqlite.ledger import SqliteLedger
from tollkeeper.stores.sqlite.reports import GROUPS, Reports

HOUR = 3_600_000


def test_the_commands_read_the_table_that_the_environment_names(
    start: Callable[[], Running], upstream: ScriptedUpstream, keys: DynamoKeyStore, environment: dict[str, str]
) -> None:
    key, secret = keys.create("ada")
    gate = start()
    for _ in range(2):
        assert ask(gate, event(key=secret))["statusCode"] == 200

    [row] = tollkeeper("usage", "--json", environment=environment).json()
    told = tollkeeper("events", "--json", environment=environment).json()

    assert (row["key"], row["name"], row["requests"], row["input_tokens"]) == (key.id, "ada", 2, 18)
    assert row["cost_usd"] == "0.000022"
    assert [each["key_id"] for each in told] == [key.id, key.id]
    only = tollkeeper("events", "--json", "--request", told[0]["request_id"], environment=environment).json()
    assert only == [told[0]]


@pytest.mark.parametrize(
    "command",
    [
        ("verify",),
        ("verify", "--export", "bill.csv", "--columns", "time=Day,model=Model,input=Input"),
        ("explain", "01a"),
        ("holds", "end", "01a"),
        ("routes", "list"),
        ("run", "prompts.jsonl", "-o", "answers.jsonl", "--model", "m"),
    ],
    ids=lambda command: command[0],
)
def test_what_reads_a_home_only_says_so(environment: dict[str, str], tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "prompts.jsonl").write_text('"hello"\n', "utf-8")
    (tmp_path / "bill.csv").write_text("Day,Model,Input\n", "utf-8")

    ended = tollkeeper(*command, folder=tmp_path, environment={**environment, "HOME": str(tmp_path)})

    assert (ended.code, ended.out) == (1, "")
    assert "not the table of TOLLKEEPER_TABLE: say which with --home" in ended.error


def sample() -> list[Event]:
    """Retries, another provider, what the cache answered, what has no price."""
    first = ending(hold())
    second = replace(ending(hold()), owner="bob", model_asked="other", cost_nano=None, quality="unpriced")
    return [
        first,
        replace(first, attempt=2, provider="other", started_at=first.started_at + 1),
        second,
        replace(ending(hold()), outcome="cached", cost_nano=0, saved_nano=77),
        replace(ending(hold()), started_at=second.started_at + 30 * HOUR, attempt=2),
    ]


@pytest.mark.parametrize("by", GROUPS)
def test_sums_are_those_of_a_home(place: Place, tmp_path: Path, by: str) -> None:
    events = sample()

    async def settled() -> None:
        ledger = SqliteLedger(tmp_path, lambda trouble: None)
        for each in events:
            ledger.settle(each)
        await ledger.close()

    asyncio.run(settled())
    table = blocking(place)
    table.transact([table.put_part(event_item(each), seen=None) for each in events])
    home, shared = Reports(tmp_path), DynamoReports(table)

    def told(reports: Reports | DynamoReports, *times: int) -> list[dict[str, object]]:
        return sorted((row.as_dict(by) for row in reports.usage(by, *times)), key=str)

    assert told(shared) == told(home)
    since = events[-1].started_at
    assert told(shared, since) == told(home, since)
    assert shared.events(limit=3) == home.events(limit=3)
    home.close()
