"""What the terminal shows of a conversation, and what it does not let through."""

import asyncio
from typing import Any

import pytest

from tollkeeper.assistant.agreement import Question, _flipped
from tollkeeper.assistant.events import Plan, Planned, Secret, Used, Words
from tollkeeper.cli.talking import Flag, Terminal, Told
from tollkeeper.core.revisions import Change
from tollkeeper.routes.differences import lines


@pytest.mark.parametrize("width", ["12", "200"])
def test_nobody_moves_the_cursor_or_turns_a_line_around(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: str
) -> None:
    monkeypatch.setenv("COLUMNS", width)
    terminal = Terminal()
    terminal.show(Words("hid\x1b[2Jden \x9b1A\u202egnihton\r\n"))
    terminal.show(Planned(Plan("p1", "a \x1b]0;title\x07plan", "+ routes/1\n    -\x1b[8mgone", ("To \u2066/x.",))))

    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert out.splitlines() == [
        *("hid[2Jden 1Agnihton", "Plan p1: a ]0;titleplan", "+ routes/1", "    -[8mgone", "→ To /x."),
    ]


def test_no_text_in_a_difference_passes_for_a_line_of_it(capsys: pytest.CaptureFixture[str]) -> None:
    after = {"desc": "a\u2028- routes/2\u2029- routes/3\x85- routes/4"}
    difference = "\n".join(lines([Change("routes", "1", None, after)]))
    Terminal().difference(difference)
    assert [each[:6] for each in capsys.readouterr().out.splitlines()] == ["+ rout", "    +{", "    + ", "    +}"]
    undone = _flipped(difference)
    assert [each[:6] for each in undone.split("\n")] == ["- rout", "    -{", "    - ", "    -}"]


def test_a_plan_that_was_shown_is_not_shown_again(capsys: pytest.CaptureFixture[str]) -> None:
    terminal, plan = Terminal(), Plan("p1", "a plan", "+ routes/1")
    terminal.show(Planned(plan))
    terminal.question(Question(title="Apply p1", plan=plan))
    assert capsys.readouterr().out.count("+ routes/1") == 1
    terminal.show(Words("Plan p1: something else\n"))
    terminal.question(Question(title="Apply p1", plan=plan))
    assert capsys.readouterr().out.splitlines()[-1] == "+ routes/1"
    terminal.question(Question(title="Apply p2", plan=Plan("p2", "another", "- routes/2")))
    assert "- routes/2" in capsys.readouterr().out


def test_no_name_of_a_tool_fills_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().show(Used("n" * 100_000, "{}"))
    assert len(capsys.readouterr().out) < 400


@pytest.mark.parametrize(
    ("how", "agreed"),
    [
        ({}, True),
        ({"destroys": True}, True),
        ({"warned": True}, True),
        ({"warned": True, "destroys": True}, False),
        ({"ours": False}, False),
    ],
)
def test_what_yes_is_a_yes_to(how: dict[str, Any], agreed: bool) -> None:
    flag = Flag(None)
    assert asyncio.run(flag(Question(title="Do it", **how))) is agreed
    assert flag.declined is not agreed


def test_json_tells_a_secret_and_what_ended_it() -> None:
    told = Told("m")
    told.show(Secret("ada", "tk-1"))
    document = told.whole(False, "The model is gone.")
    assert document["keys"] == [{"name": "ada", "key": "tk-1"}]
    assert (document["ended"], document["error"]) == ("failed", "The model is gone.")
