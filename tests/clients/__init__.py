"""Real clients, in environments of their own, against a real gate; an independent fake provider behind it."""
