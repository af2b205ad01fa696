"""The gate on AWS Lambda: `http.handler`, `websocket.handler` and `recovery.handler`, with keys and ledger in DynamoDB."""
