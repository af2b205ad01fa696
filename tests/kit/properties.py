"""Hypothesis as these tests use it: the same examples each time, no clock, nothing remembered."""

from hypothesis import settings


def examples(count: int) -> settings:
    """A decorator for a property: how many examples to try."""
    return settings(max_examples=count, deadline=None, derandomize=True, database=None)
