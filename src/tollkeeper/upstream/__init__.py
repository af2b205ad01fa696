"""The only way out: everything the gate sends to a provider goes through this room."""
