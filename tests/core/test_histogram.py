"""Histograms: every number is in one bucket, its bound included, and in the sum."""

from tollkeeper.core.histogram import Histogram


def test_numbers_are_counted_up_to_their_bounds() -> None:
    histogram = Histogram((1, 2.5))
    for number in (0, 1, 1.5, 2.5, 3):
        histogram.observe(number)

    assert histogram.cumulative() == [("1", 2.0), ("2.5", 4.0), ("+Inf", 5.0)]
    assert histogram.total == 8.0
