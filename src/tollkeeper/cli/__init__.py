"""The terminal's door: one file per command group."""
