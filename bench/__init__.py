"""What the gate costs, measured beside nginx on the same machine at the same time."""
