"""A DynamoDB of moto's on a free port, in an environment of its own, and empty tables in it."""

import contextlib
import json
import random
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from kit.servers import free_port, running
from tollkeeper.stores.dynamodb.table import BlockingTable, Place, Table
from tollkeeper.upstream.client import HttpClient
from tollkeeper.wire.aws_signature import Credentials

LINTERS = Path(__file__).parent.parent.parent / ".clients" / "linters"
REGION = "eu-central-1"
CREDENTIALS = Credentials("AKIATEST", "secret")
# In one thread: DynamoDB's transactions come one after another, and moto's do only if its requests do.
_SERVER = """
import sys
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import run_simple
run_simple("127.0.0.1", int(sys.argv[1]), DomainDispatcherApplication(create_backend_app), threaded=False)
"""
_SCHEMA = {
    "KeySchema": [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in ("pk", "sk")],
    "BillingMode": "PAY_PER_REQUEST",
}


@contextlib.contextmanager
def moto(folder: Path) -> Iterator[str]:
    """Its URL. The test is skipped where moto is not installed."""
    if not (LINTERS / "stamp").exists():
        pytest.skip("no moto in .clients/linters: scripts/setup-clients makes it")
    port = free_port()
    command = [str(LINTERS / "bin" / "python"), "-c", _SERVER, str(port)]
    with running(command, port, folder / "moto.log"):
        yield f"http://127.0.0.1:{port}/"


def new_place(url: str) -> Place:
    """An empty table."""
    place = Place(f"t{random.getrandbits(64):x}", REGION, url, lambda: CREDENTIALS)
    body = json.dumps({"TableName": place.name, **_SCHEMA}).encode()
    headers = {
        "content-type": "application/x-amz-json-1.0",
        "x-amz-target": "DynamoDB_20120810.CreateTable",
        "authorization": f"AWS4-HMAC-SHA256 Credential=x/20260101/{REGION}/dynamodb/aws4_request, SignedHeaders=host",
    }
    with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=30) as answer:
        assert answer.status == 200
    return place


@contextlib.asynccontextmanager
async def opened(place: Place) -> AsyncIterator[Table]:
    """The table, asked through a client of its own."""
    client = HttpClient(time.monotonic)
    try:
        yield Table(place, client, time.time, random.random)
    finally:
        await client.close()


def blocking(place: Place) -> BlockingTable:
    """The same for those without a loop."""
    return BlockingTable(place, time.time)
