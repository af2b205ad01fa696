"""What calls cost: token counting where providers report none, and prices."""
