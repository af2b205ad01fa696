"""The gate on AWS Lambda, without AWS: events as API Gateway makes them, a DynamoDB of moto's."""
