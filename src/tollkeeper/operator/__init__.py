"""The operators' door: keys, usage, events, health and metrics over REST, always behind the operator key."""
