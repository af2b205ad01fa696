"""Bytes to frames and back; pure."""
