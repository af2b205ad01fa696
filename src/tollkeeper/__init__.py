"""Tollkeeper: the gate between programs and what they call."""

__version__ = "0.1.0"
