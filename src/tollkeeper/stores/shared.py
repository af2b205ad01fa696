"""What a gate keeps for itself or shares with others, by the one type that either has."""

from tollkeeper.stores.dynamodb.balances import DynamoBalances
from tollkeeper.stores.dynamodb.keys import DynamoKeyStore
from tollkeeper.stores.dynamodb.ledger import DynamoLedger
from tollkeeper.stores.sqlite.balances import SqliteBalances
from tollkeeper.stores.sqlite.keys import KeyStore
from tollkeeper.stores.sqlite.ledger import SqliteLedger

AnyKeyStore = KeyStore | DynamoKeyStore
AnyLedger = SqliteLedger | DynamoLedger
AnyBalances = SqliteBalances | DynamoBalances
Shared = tuple[DynamoKeyStore, DynamoLedger, DynamoBalances]
