"""A job's report: one file that loads nothing, with a plot of each thing that went on, over all runs of the job."""

import re
from html.parser import HTMLParser

from tollkeeper.bulk.report import Facts, page
from tollkeeper.bulk.samples import Sample

FACTS = Facts("answers <1>.jsonl", "Model m & others.", [("rows", "1,000")])


def sample(at: float, rows: int, **fields: object) -> Sample:
    given: dict[str, object] = {
        "tokens": rows * 10,
        "cost_nano": rows * 1_000_000,
        "under_way": 3,
        "window": 16,
        "p50": 0.2,
        "p95": 0.5,
        "errors": {"rate_limit_exceeded": rows // 10},
        **fields,
    }
    return Sample(at=at, rows=rows, **given)  # type: ignore[arg-type]


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.refers: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.refers += [value or "" for name, value in attrs if name in ("src", "href", "data", "srcset", "action")]
        if tag not in ("meta", "i"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag != "i":
            assert self.open.pop() == tag


def points(text: str, title: str) -> list[list[tuple[float, float]]]:
    figure = text.partition(f"<h2>{title}")[2].partition("</figure>")[0]
    lines = re.findall(r'<polyline points="([^"]+)"', figure)
    return [[(float(x), float(y)) for x, _, y in (pair.partition(",") for pair in line.split())] for line in lines]


def test_it_is_one_file_that_loads_nothing() -> None:
    text = page(FACTS, [[sample(0, 0), sample(1, 100), sample(2, 300)]])
    found = _Page(text)
    assert found.refers == []
    assert "script" not in found.tags
    assert "url(" not in text
    assert "@import" not in text
    assert found.tags.count("svg") == 6
    assert "prefers-color-scheme: dark" in text
    assert "answers &lt;1&gt;.jsonl" in text


def test_a_plot_rises_and_falls_with_what_it_shows() -> None:
    text = page(FACTS, [[sample(0, 0), sample(1, 100), sample(2, 400), sample(3, 410)]])
    ((first, second, third),) = points(text, "Throughput")
    assert second[1] < first[1] < third[1]  # higher is a smaller y
    ((start, *_, end),) = points(text, "Cost")
    assert start[1] > end[1]
    assert len(points(text, "Time to an answer")) == 2


def test_runs_follow_each_other_without_the_time_between_and_count_on() -> None:
    text = page(FACTS, [[sample(1000, 0), sample(1010, 100)], [sample(90_000, 0), sample(90_010, 50)]])
    ((*_, before, after, end),) = points(text, "Cost")
    assert after[0] == before[0]
    assert after[1] == before[1]
    assert end[1] < after[1]
    assert "<td>rate_limit_exceeded</td><td>15</td>" in text


def test_a_job_without_anything_to_show_has_a_report_too() -> None:
    for runs in ([], [[]], [[sample(5, 0, window=None, p50=None, p95=None, errors={})]]):
        _Page(page(FACTS, runs))
