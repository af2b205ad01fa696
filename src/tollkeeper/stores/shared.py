"""What a gate keeps for itself or shares with others, by the one type that either has."""

from typing import TYPE_CHECKING, TypeAlias, Union

from tollkeeper.core.ports import Limiter
from tollkeeper.stores.sqlite.balances import SqliteBalances
from tollkeeper.stores.sqlite.keys import KeyStore
from tollkeeper.stores.sqlite.ledger import SqliteLedger

if TYPE_CHECKING:  # it brings an HTTP client along, and few share
    from tollkeeper.stores.dynamodb.balances import DynamoBalances
    from tollkeeper.stores.dynamodb.keys import DynamoKeyStore
    from tollkeeper.stores.dynamodb.ledger import DynamoLedger

AnyKeyStore: TypeAlias = Union[KeyStore, "DynamoKeyStore"]
AnyLedger: TypeAlias = Union[SqliteLedger, "DynamoLedger"]
AnyBalances: TypeAlias = Union[SqliteBalances, "DynamoBalances"]
Shared: TypeAlias = "tuple[DynamoKeyStore, DynamoLedger, DynamoBalances, Limiter]"
