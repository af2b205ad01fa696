"""Other CSV files by a map of their columns."""

import pytest

from tollkeeper.core.errors import CallerError
from tollkeeper.metering.exports import columns
from tollkeeper.metering.exports.lines import Line


def test_a_row_by_its_map() -> None:
    mapped = columns.parsed("time=When, until=Till,model=M,input=In,cached=C,output=Out,cost=USD,requests=N")
    row = {"When": "2026-01-01", "Till": "2026-01-02", "M": "m", "In": "1", "C": "", "Out": "2", "USD": "0.5", "N": "3"}

    assert columns.of_row(row, mapped) == Line(
        start=1_767_225_600_000,
        end=1_767_312_000_000,
        model="m",
        requests=3,
        input_tokens=1,
        output_tokens=2,
        cost_nano=500_000_000,
    )


def test_a_row_of_a_request() -> None:
    mapped = columns.parsed("request=id,cost=USD")

    line = columns.of_row({"id": "0199AA00-0000-7000-8000-000000000000", "USD": "1"}, mapped)

    assert (line.request_id, line.start, line.end) == ("0199aa00000070008000000000000000", 0, None)


@pytest.mark.parametrize(
    "text", ["", "time", "time=", "when=x,cost=y", "time=a,time=b,cost=c", "time=a", "cost=a", "time=a,model=b"]
)
def test_a_map_that_says_too_little_or_too_much_is_refused(text: str) -> None:
    with pytest.raises(CallerError, match="--columns"):
        columns.parsed(text)


def test_a_row_without_a_time_is_refused() -> None:
    with pytest.raises(CallerError, match="neither time nor request"):
        columns.of_row({"t": " ", "c": "1"}, columns.parsed("time=t,cost=c"))
