"""Nouns, ports, money and errors; imports nothing of ours and does no I/O."""
