"""Keys, budgets and ledger on DynamoDB, for gates of which many run at once and none has a disk."""
