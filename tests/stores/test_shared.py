"""A store that is shared offers whatever a gate's own does: who uses one need not know which it is."""

import inspect

import pytest

from tollkeeper.core import ports
from tollkeeper.stores.dynamodb.balances import DynamoBalances
from tollkeeper.stores.dynamodb.keys import DynamoKeyStore
from tollkeeper.stores.dynamodb.ledger import DynamoLedger
from tollkeeper.stores.sqlite.keys import KeyStore


@pytest.mark.parametrize(
    ("shared", "like"),
    [(DynamoKeyStore, KeyStore), (DynamoLedger, ports.Ledger), (DynamoBalances, ports.Balances)],
)
def test_every_method_is_there_with_the_same_parameters(shared: type, like: type) -> None:
    for name, method in inspect.getmembers(like, inspect.isfunction):
        if not name.startswith("_"):
            assert list(inspect.signature(getattr(shared, name)).parameters) == list(
                inspect.signature(method).parameters
            ), name
