"""A job's report: one HTML file with what came of it and how it went over time, that needs nothing from anywhere."""

from collections.abc import Callable, Sequence
from html import escape
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from tollkeeper.bulk.samples import Sample
from tollkeeper.core.money import NANO

_WIDE, _HIGH = 640, 220
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 12, 28
_KINDS = 5
"""Kinds of errors that are drawn, the most frequent ones."""
_STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1c2024; --faint: #60646c; --line: #e0e1e6;
  --c0: #0b62c4; --c1: #b4530a; --c2: #1a7f4b; --c3: #8a3ffc; --c4: #c2255c; }
@media (prefers-color-scheme: dark) { :root { --paper: #111315; --ink: #edeef0; --faint: #a0a5ad; --line: #2e3238;
  --c0: #70b8ff; --c1: #ffa057; --c2: #5bd08f; --c3: #c4a1ff; --c4: #ff8fb3; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1360px; padding: 2rem 1rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1rem; margin: 0 0 .25rem; }
p { margin: 0 0 1.5rem; color: var(--faint); overflow-wrap: anywhere; }
dl { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; margin: 0 0 2rem; }
dt { color: var(--faint); font-size: .875rem; } dd { margin: 0; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
main { display: grid; gap: 2rem 1.5rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 420px), 1fr)); }
figure { margin: 0; min-width: 0; } svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--faint); font: 12px system-ui, sans-serif; font-variant-numeric: tabular-nums; }
.grid { stroke: var(--line); } polyline { fill: none; stroke-width: 2; stroke-linejoin: round; }
figcaption { display: flex; flex-wrap: wrap; gap: 0 1rem; color: var(--faint); font-size: .875rem; }
figcaption i { display: inline-block; width: .75rem; height: .25rem; margin-right: .35rem; vertical-align: middle; }
table { border-collapse: collapse; margin-top: 2rem; } td, th { padding: .25rem 1rem .25rem 0; text-align: left; }
td + td { text-align: right; font-variant-numeric: tabular-nums; }
"""

Points = list[tuple[float, float]]


class Series(NamedTuple):
    """One line of a plot: what it is, and (seconds, value) in order of time."""

    name: str
    points: Points


class Facts(NamedTuple):
    """What stands above the plots: names and values, as they are shown."""

    title: str
    below: str
    numbers: Sequence[tuple[str, str]]


def write(path: Path, facts: Facts, runs: Sequence[Sequence[Sample]]) -> None:
    """Writes the report. Raises OSError."""
    path.write_text(page(facts, runs), "utf-8")


def page(facts: Facts, runs: Sequence[Sequence[Sample]]) -> str:
    """The whole file. Time on the plots is time under way: what lies between two runs is left out."""
    numbers = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in facts.numbers)
    plots = "".join(_figure(title, unit, series) for title, unit, series in _plots(runs))
    title = escape(facts.title)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{_STYLE}</style></head>'
        f"<body><h1>{title}</h1><p>{escape(facts.below)}</p><dl>{numbers}</dl><main>{plots}</main>"
        f"{_errors(runs)}</body></html>\n"
    )


def _plots(runs: Sequence[Sequence[Sample]]) -> list[tuple[str, str, list[Series]]]:
    windows = _each(runs, lambda sample: sample.window)
    limit = [Series("limit found", windows)] if windows else []
    kinds = list(_totals(runs))[:_KINDS]
    return [
        ("Throughput", "rows/s", [Series("rows ended", _rate(runs, lambda sample: sample.rows))]),
        (
            "Time to an answer",
            "s",
            [
                Series("half of them", _each(runs, lambda sample: sample.p50)),
                Series("95 of 100", _each(runs, lambda sample: sample.p95)),
            ],
        ),
        ("Concurrency", "calls", [*limit, Series("under way", _each(runs, lambda sample: sample.under_way))]),
        ("Tokens", "tokens/s", [Series("in and out", _rate(runs, lambda sample: sample.tokens))]),
        ("Cost", "USD", [Series("spent so far", _sum(runs, lambda sample: sample.cost_nano / NANO))]),
        ("Errors", "failed tries", [Series(k, _sum(runs, lambda s, k=k: s.errors.get(k, 0))) for k in kinds]),  # type: ignore[misc]
    ]


def _each(runs: Sequence[Sequence[Sample]], value: Callable[[Sample], float | None]) -> Points:
    found: Points = []
    for offset, run in _placed(runs):
        for sample in run:
            seen = value(sample)
            if seen is not None:
                found.append((offset + sample.at, float(seen)))
    return found


def _sum(runs: Sequence[Sequence[Sample]], value: Callable[[Sample], float]) -> Points:
    """Counted on from run to run."""
    found: Points = []
    before = 0.0
    for offset, run in _placed(runs):
        found += [(offset + sample.at, before + value(sample)) for sample in run]
        before += value(run[-1])
    return found


def _rate(runs: Sequence[Sequence[Sample]], value: Callable[[Sample], float]) -> Points:
    """A second, between two samples."""
    found: Points = []
    for offset, run in _placed(runs):
        for before, after in pairwise(run):
            if after.at > before.at:
                found.append((offset + after.at, (value(after) - value(before)) / (after.at - before.at)))
    return found


def _placed(runs: Sequence[Sequence[Sample]]) -> list[tuple[float, Sequence[Sample]]]:
    """(what is to be added to a run's times so that it begins where the one before ended, run)."""
    found = []
    end = 0.0
    for run in runs:
        if run:
            found.append((end - run[0].at, run))
            end += run[-1].at - run[0].at
    return found


def _totals(runs: Sequence[Sequence[Sample]]) -> dict[str, int]:
    """Failed tries by kind, the most frequent first."""
    found: dict[str, int] = {}
    for run in runs:
        for kind, count in run[-1].errors.items() if run else ():
            found[kind] = found.get(kind, 0) + count
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _errors(runs: Sequence[Sequence[Sample]]) -> str:
    found = _totals(runs)
    if not found:
        return ""
    rows = "".join(f"<tr><td>{escape(kind)}</td><td>{count:,}</td></tr>" for kind, count in found.items())
    return f"<table><thead><tr><th>Failed tries</th><th></th></tr></thead><tbody>{rows}</tbody></table>"


def _figure(title: str, unit: str, series: list[Series]) -> str:
    drawn = [each for each in series if each.points]
    keys = "".join(
        f'<span><i style="background:var(--c{number})"></i>{escape(each.name)}</span>'
        for number, each in enumerate(drawn)
    )
    inside = _svg(f"{title}, {unit}", drawn) if drawn else "<p>None.</p>"
    return f"<figure><h2>{title} <small>({unit})</small></h2>{inside}<figcaption>{keys}</figcaption></figure>"


def _svg(label: str, series: list[Series]) -> str:
    last = max(max(x for x, _ in each.points) for each in series) or 1.0
    most = _ceiling(max(max(y for _, y in each.points) for each in series))
    wide, high = _WIDE - _LEFT - _RIGHT, _HIGH - _TOP - _BOTTOM
    parts = [f'<svg viewBox="0 0 {_WIDE} {_HIGH}" role="img" aria-label="{escape(label)}">']
    for step in range(5):
        y = _TOP + high * (1 - step / 4)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDE - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')
        parts.append(f'<text x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{_number(most * step / 4)}</text>')
        x = _LEFT + wide * step / 4
        anchor = ("start", "middle", "middle", "middle", "end")[step]
        parts.append(f'<text x="{x:.1f}" y="{_HIGH - 8}" text-anchor="{anchor}">{_time(last * step / 4)}</text>')
    for number, each in enumerate(series):
        points = each.points if len(each.points) > 1 else [(0.0, each.points[0][1]), (last, each.points[0][1])]
        line = " ".join(f"{_LEFT + wide * x / last:.1f},{_TOP + high * (1 - y / most):.1f}" for x, y in points)
        parts.append(f'<polyline points="{line}" style="stroke:var(--c{number})"/>')
    return "".join(parts) + "</svg>"


def _ceiling(value: float) -> float:
    """The next number of the kind 1, 2, 4, 8 times a power of ten: its quarters are short to write."""
    if value <= 0:
        return 1.0
    power = 10.0 ** len(str(int(value))) / 10 if value >= 1 else 1.0
    while power > value:
        power /= 10
    return next(power * step for step in (1, 2, 4, 8, 10) if power * step >= value)


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.6g}"


def _time(seconds: float) -> str:
    if seconds >= 7200:
        return f"{seconds / 3600:.3g} h"
    return f"{seconds / 60:.3g} min" if seconds >= 120 else f"{seconds:.3g} s"
