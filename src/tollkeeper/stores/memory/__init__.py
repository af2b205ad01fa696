"""What may be forgotten when the process ends."""
