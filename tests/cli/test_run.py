"""`tollkeeper run` as its user meets it: files in, files out, through this process or through a gate."""

import csv
import json
import signal
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from kit.gate import GateProcess
from kit.jobs import CONFIG, Folder, echo
from kit.scripted import Connection, Request, ScriptedUpstream, chat_answer, json_answer
from kit.waiting import until


def test_a_file_of_prompts_becomes_a_file_of_answers_in_order_and_in_the_ledger(tmp_path: Path) -> None:
    with ScriptedUpstream(echo) as upstream:
        folder = Folder(tmp_path, upstream.url)
        folder.prompts(200)
        code, out, _ = folder.run("in.jsonl", "-o", "out.jsonl", "--model", "m", "--concurrency", "20")
        assert code == 0
        assert "200 rows, 200 answered, 0 failed" in out
        rows = folder.rows()
        assert [row["output"] for row in rows] == [f"re: prompt {number}" for number in range(200)]
        assert {row["cost_usd"] for row in rows} == {"0.000015"}  # 9 in, 3 out at 1 and 2 USD per million
        assert len(upstream.requests) == 200
        usage = folder.command("usage", "--by", "key")
        assert (usage[0]["requests"], usage[0]["cost_usd"]) == (200, "0.003")
        assert folder.command("verify")


def test_csv_columns_fill_a_prompt_and_answers_become_columns(tmp_path: Path) -> None:
    with ScriptedUpstream(echo) as upstream:
        folder = Folder(tmp_path, upstream.url)
        (tmp_path / "in.csv").write_text("id,topic\n7,trains\n8,\n9\n10,a,b\n")
        (tmp_path / "prompt.txt").write_text("About {{ topic }}")
        code, out, _ = folder.run("in.csv", "-o", "out.csv", "--model", "m", "--prompt", "prompt.txt")
        assert code == 8
        assert "The first to fail: row 2, line 4 has 1 columns, the header 2" in out
        with (tmp_path / "out.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert [row["output"] for row in rows] == ["re: About trains", "re: About ", "", ""]
        assert "line 4 has 1 columns, the header 2" in rows[2]["error"]
        assert [(row["id"], row["topic"]) for row in rows[2:]] == [("9", ""), ("10", "a")]
        assert json.loads(json.loads(rows[3]["error"])["said"]) == ["10", "a", "b"]


def test_standard_input_and_parameters(tmp_path: Path) -> None:
    with ScriptedUpstream(echo) as upstream:
        folder = Folder(tmp_path, upstream.url)
        arguments = ("-", "-o", "out.jsonl", "--model", "m", "--set", "temperature=0", "--set", "user=me")
        code, _, err = folder.run(*arguments, stdin=b'"one"\n"two"\n')
        assert code == 0, err
        assert [row["output"] for row in folder.rows()] == ["re: one", "re: two"]
        assert upstream.requests[0].json()["temperature"] == 0
        assert upstream.requests[0].json()["user"] == "me"


def test_another_standard_input_leaves_a_jobs_own_prompts_alone(tmp_path: Path) -> None:
    let_on = threading.Event()

    def held(request: Request, connection: Connection) -> bool:
        let_on.wait(30)
        return echo(request, connection)

    with ScriptedUpstream(held) as upstream:
        folder = Folder(tmp_path, upstream.url)
        arguments = ("-", "-o", "out.jsonl", "--model", "m")
        running = folder.start(*arguments)
        assert running.stdin is not None
        running.stdin.write(b'"one"\n"two"\n')
        running.stdin.close()
        running.stdin = None
        try:
            until(lambda: len(upstream.requests) == 2)
            code, _, err = folder.run(*arguments, stdin=b'"other"\n')  # beside the one that runs
            assert (code, "Another process runs this job" in err) == (1, True)
        finally:
            let_on.set()
            running.communicate(timeout=60)
        assert running.returncode == 0
        code, _, err = folder.run(*arguments, stdin=b'"other"\n')  # after it
        assert (code, "is there already" in err) == (1, True)
        code, _, _ = folder.run(*arguments, "--dry-run", stdin=b'"other"\n')
        assert code == 0
        assert (tmp_path / "out.jsonl.input").read_bytes() == b'"one"\n"two"\n'
        assert folder.run(*arguments, "--resume")[0] == 0
        assert [row["output"] for row in folder.rows()] == ["re: one", "re: two"]
        code, _, err = folder.run("-", "-o", "nowhere/out.jsonl", "--model", "m", stdin=b'"one"\n')
        assert (code, "There is no folder" in err) == (1, True)


def test_a_resume_takes_the_same_standard_input_more_of_it_or_none_and_refuses_another(tmp_path: Path) -> None:
    with ScriptedUpstream(echo) as upstream:
        folder = Folder(tmp_path, upstream.url)
        arguments = ("-", "-o", "out.jsonl", "--model", "m")
        assert folder.run(*arguments, stdin=b'"one"\n"two"\n')[0] == 0
        before = sorted(path.name for path in tmp_path.iterdir())
        code, _, err = folder.run(*arguments, "--resume", stdin=b'"one"\n"TWO"\n')
        assert (code, "input: its content has changed" in err) == (1, True)
        assert (tmp_path / "out.jsonl.input").read_bytes() == b'"one"\n"two"\n'
        assert sorted(path.name for path in tmp_path.iterdir()) == before
        for again in (b"", b'"one"\n"two"\n'):
            assert folder.run(*arguments, "--resume", stdin=again)[0] == 0
        code, _, err = folder.run(*arguments, "--resume", stdin=b'"one"\n"two"\n"three"\n')
        assert code == 0, err
        assert [row["output"] for row in folder.rows()] == ["re: one", "re: two", "re: three"]
        assert len(upstream.requests) == 3


def test_a_job_that_is_refused_before_it_begins_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = Folder(tmp_path, "http://127.0.0.1:9")
    folder.prompts(2)
    (tmp_path / "twice.jsonl").write_text('{"custom_id": "a", "prompt": "x"}\n' * 2)
    before = {path.name for path in tmp_path.iterdir()} | {"home"}
    job = ("-o", "out.jsonl", "--model", "m")
    refused = {
        "Ids are not unique": folder.run("-", *job, stdin=(tmp_path / "twice.jsonl").read_bytes()),
        "No such file": folder.run("absent.jsonl", *job),
        "There is no key 'other'": folder.run("in.jsonl", *job, "--key", "other"),
        "A gate's address": folder.run("in.jsonl", *job, "--gate", "127.0.0.1:9", TOLLKEEPER_KEY="tk-any"),
    }
    for said, (code, _, err) in refused.items():
        assert (code, said in err) == (4 if "key" in said else 1, True), err
    assert {path.name for path in tmp_path.iterdir()} <= before


def test_a_killed_job_goes_on_where_it_was(tmp_path: Path) -> None:
    def slow(request: Request, connection: Connection) -> bool:
        time.sleep(0.01)
        return echo(request, connection)

    with ScriptedUpstream(slow) as upstream:
        folder = Folder(tmp_path, upstream.url)
        folder.prompts(400)
        arguments = ("in.jsonl", "-o", "out.jsonl", "--model", "m", "--concurrency", "8")
        process = folder.start(*arguments)
        until = time.monotonic() + 20
        while len(upstream.requests) < 100 and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert not (tmp_path / "out.jsonl").exists()
        code, _, err = folder.run(*arguments)
        assert code == 1
        assert "--resume" in err
        code, _, err = folder.run(*arguments, "--resume")
        assert code == 0, err
        assert "may be paid for twice" in err
        assert [row["output"] for row in folder.rows()] == [f"re: prompt {number}" for number in range(400)]
        assert 400 <= len(upstream.requests) <= 408
        events = folder.command("usage", "--by", "key")[0]
        # What was in the ledger and not yet on the wire at the kill is recorded, too: nobody can know that it was not sent.
        assert len(upstream.requests) <= events["attempts"] <= len(upstream.requests) + 8


@pytest.mark.row(81)
def test_another_job_is_not_resumed_as_this_one(tmp_path: Path) -> None:
    with ScriptedUpstream(echo) as upstream:
        folder = Folder(tmp_path, upstream.url)
        (tmp_path / "first.txt").write_text("Say {{ prompt }}")
        (tmp_path / "second.txt").write_text("Sing {{ prompt }}")
        (tmp_path / "in.jsonl").write_text('{"prompt": "a"}\n{"prompt": "b"}\n{"prompt": "c"}\n')

        def run(**options: str) -> tuple[int, str, str]:
            named = {"model": "m", "prompt": "first.txt", **options}
            words = (word for name, value in named.items() for word in (f"--{name}", value))
            return folder.run("in.jsonl", "-o", "out.jsonl", *words, "--resume")

        assert run()[0] == 0
        answered = (tmp_path / "out.jsonl").read_bytes()
        code, _, err = run(set="temperature=1")
        assert code == 1
        assert 'parameters: was {}, is now {"temperature":1}' in err
        assert err.count(": was ") == 1
        (tmp_path / "in.jsonl").write_text('{"prompt": "x"}\n{"prompt": "b"}\n{"prompt": "c"}\n')
        code, _, err = run(model="up/another", prompt="second.txt", system="first.txt")
        assert code == 1
        for told in (
            'model: was "m", is now "up/another"',
            'prompt: was "Say {{ prompt }}", is now "Sing {{ prompt }}"',
            'system: was null, is now "Say {{ prompt }}"',
            "input:",
        ):
            assert told in err
        assert (tmp_path / "out.jsonl").read_bytes() == answered
        assert len(upstream.requests) == 3


@pytest.mark.row(83)
def test_lines_that_cannot_be_read_are_rows_with_the_lines_number_and_the_job_goes_on(tmp_path: Path) -> None:
    lines = [
        b'\xef\xbb\xbf"prompt 0"\r',
        b"",
        b'{"prompt": ',
        b'"\xff\xfe"',
        b'"' + b"x" * 50_000_000 + b'"',
        b"[1]",
        b'"prompt 5"',
    ]
    with ScriptedUpstream(echo) as upstream:
        folder = Folder(tmp_path, upstream.url)
        (tmp_path / "in.jsonl").write_bytes(b"\n".join(lines))  # and no last line end
        code, _, err = folder.run("in.jsonl", "-o", "out.jsonl", "--model", "m")
        assert code == 8, err
        rows = folder.rows()
        assert [row["index"] for row in rows] == list(range(6))
        assert [row["output"] for row in rows] == ["re: prompt 0", *[None] * 4, "re: prompt 5"]
        problems = [row["error"]["message"] for row in rows[1:5]]
        assert [problem.split(" is ")[0] for problem in problems] == ["line 3", "line 4", "line 5", "line 6"]
        assert {row["error"]["code"] for row in rows[1:5]} == {"invalid_row"}
        assert len(upstream.requests) == 2


def test_an_input_may_grow_and_failed_rows_may_be_asked_again(tmp_path: Path) -> None:
    fail = True

    def script(request: Request, connection: Connection) -> bool:
        if fail and "1" in request.json()["messages"][0]["content"]:
            return json_answer(400, {"error": {"message": "no ones", "type": "x", "code": "bad"}})(request, connection)
        return echo(request, connection)

    with ScriptedUpstream(script) as upstream:
        folder = Folder(tmp_path, upstream.url)
        folder.prompts(4)
        assert folder.run("in.jsonl", "-o", "out.jsonl", "--model", "m")[0] == 8
        assert folder.rows()[1]["error"]["message"] == "no ones"
        with (tmp_path / "in.jsonl").open("a") as stream:
            stream.write('"prompt 4"\n')
        fail = False
        before = len(upstream.requests)
        code, out, _ = folder.run("in.jsonl", "-o", "out.jsonl", "--model", "m", "--retry-failed")
        assert code == 0
        assert [row["output"] for row in folder.rows()] == [f"re: prompt {number}" for number in range(5)]
        assert len(upstream.requests) - before == 2
        assert [row["attempts"] for row in folder.rows()] == [1, 2, 1, 1, 1]
        assert "6 calls" in out


def test_what_a_row_cost_before_it_is_asked_again_stays_its_cost_and_the_jobs(tmp_path: Path) -> None:
    said = ""

    def script(request: Request, connection: Connection) -> bool | None:
        return json_answer(200, chat_answer(said))(request, connection)

    with ScriptedUpstream(script) as upstream:
        folder = Folder(tmp_path, upstream.url)
        folder.prompts(1)
        (tmp_path / "schema.json").write_text('{"type": "object"}')
        job = ("in.jsonl", "-o", "out.jsonl", "--model", "m", "--schema", "schema.json", "--json")
        for tries, answer in ((3, "no"), (6, "neither"), (7, "{}")):
            said = answer
            code, out, err = folder.run(*job, *(("--retry-failed",) if tries > 3 else ()))
            assert code == (0 if answer == "{}" else 8), err
            [row] = folder.rows()
            cost = f"{15 * tries / 1_000_000:f}"
            assert (row["attempts"], row["cost_usd"]) == (tries, cost.rstrip("0"))
            assert (json.loads(out)["attempts"], json.loads(out)["cost_usd"]) == (tries, cost.rstrip("0"))
        assert folder.command("usage", "--by", "key")[0]["cost_usd"] == cost.rstrip("0")


def test_the_output_cannot_be_the_input_and_nobody_is_told_to_delete_that(tmp_path: Path) -> None:
    folder = Folder(tmp_path, "http://127.0.0.1:1/v1")
    folder.prompts(1)
    code, _, err = folder.run("in.jsonl", "-o", "in.jsonl", "--model", "m")
    assert (code, "cannot be the input" in err, "delete" in err) == (1, True, False)
    assert folder.rows("in.jsonl") == ["prompt 0"]


@pytest.mark.row(85)
def test_ids_that_stand_twice_are_refused_before_anything_is_spent(tmp_path: Path) -> None:
    with ScriptedUpstream(echo) as upstream:
        folder = Folder(tmp_path, upstream.url)
        lines = [{"custom_id": name, "body": {"messages": []}} for name in ("a", "b", "a")]
        (tmp_path / "in.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        code, _, err = folder.run("in.jsonl", "-o", "out.jsonl", "--model", "m")
        assert code == 1
        assert "line 3 has the custom_id of line 1" in err
        (tmp_path / "in.jsonl").write_text(
            'broken\n{"custom_id": "a", "prompt": "x"}\n{"custom_id": "a", "prompt": "y"}\n'
        )
        code, _, err = folder.run("in.jsonl", "-o", "out.jsonl", "--model", "m")
        assert (code, "line 3 has the custom_id of line 2" in err) == (1, True)
        assert upstream.requests == []


def test_an_input_that_grew_by_an_id_that_it_had_is_refused(tmp_path: Path) -> None:
    with ScriptedUpstream(echo) as upstream:
        folder = Folder(tmp_path, upstream.url)
        given = tmp_path / "in.jsonl"
        given.write_text('{"custom_id": "a", "prompt": "x"}\n')
        arguments = ("in.jsonl", "-o", "out.jsonl", "--model", "m")
        assert folder.run(*arguments)[0] == 0
        with given.open("a") as stream:
            stream.write('{"custom_id": "a", "prompt": "y"}\n')
        for _ in range(2):  # a refusal notes nothing
            code, _, err = folder.run(*arguments, "--resume")
            assert (code, "line 2 has the custom_id of line 1" in err) == (1, True)
        given.unlink()
        code, _, err = folder.run(*arguments, "--resume")
        assert (code, "in.jsonl: No such file" in err) == (1, True)
        assert len(upstream.requests) == 1


def test_an_output_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    with ScriptedUpstream(echo) as upstream:
        folder = Folder(tmp_path, upstream.url)
        folder.prompts(1)
        (tmp_path / "out.jsonl").write_text("precious")
        code, _, err = folder.run("in.jsonl", "-o", "out.jsonl", "--model", "m")
        assert code == 1
        assert "is there already" in err
        assert (tmp_path / "out.jsonl").read_text() == "precious"


@pytest.mark.row(96)
def test_an_answer_that_does_not_follow_the_schema_is_asked_for_twice_more_then_kept_with_the_rows_error(
    tmp_path: Path,
) -> None:
    good, bad = '{"n": 3}', {"prompt 1": "not json", "prompt 2": '{"n": "three"}'}
    asked = Counter[str]()

    def script(request: Request, connection: Connection) -> bool:
        prompt = request.json()["messages"][0]["content"]
        asked[prompt] += 1
        text = "{}" if prompt == "prompt 3" and asked[prompt] < 3 else bad.get(prompt, good)
        return json_answer(200, chat_answer(text))(request, connection)

    with ScriptedUpstream(script) as upstream:
        folder = Folder(tmp_path, upstream.url)
        folder.prompts(4)
        schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
        (tmp_path / "schema.json").write_text(json.dumps(schema))
        code, _, _ = folder.run("in.jsonl", "-o", "out.jsonl", "--model", "m", "--schema", "schema.json")
        assert code == 8
        rows = folder.rows()
        assert [row["output"] for row in rows] == [{"n": 3}, None, None, {"n": 3}]
        assert [row["attempts"] for row in rows] == [1, 3, 3, 3]
        assert asked == {"prompt 0": 1, "prompt 1": 3, "prompt 2": 3, "prompt 3": 3}
        errors = [row["error"] for row in rows[1:3]]
        assert [(error["code"], error["said"]) for error in errors] == [("bad_answer", text) for text in bad.values()]
        assert "is not the JSON that was asked for" in errors[0]["message"]
        assert "does not follow the schema" in errors[1]["message"]
        assert rows[1]["cost_usd"] == "0.000045"  # each try was paid for


@pytest.mark.row(89)
def test_interrupted_once_it_ends_what_is_under_way_and_can_go_on(tmp_path: Path) -> None:
    def slow(request: Request, connection: Connection) -> bool:
        time.sleep(0.05)
        return echo(request, connection)

    with ScriptedUpstream(slow) as upstream:
        folder = Folder(tmp_path, upstream.url)
        folder.prompts(300)
        arguments = ("in.jsonl", "-o", "out.jsonl", "--model", "m", "--concurrency", "5")
        process = folder.start(*arguments)
        until = time.monotonic() + 20
        while len(upstream.requests) < 20 and time.monotonic() < until:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 130, err
        answered = sum(row["error"] is None for row in folder.rows())
        assert answered == len(upstream.requests)  # nothing that was paid for is lost
        assert len(folder.rows()) == 300


@pytest.mark.parametrize(
    "option", [("--set", "odd"), ("--prompt", "missing.txt"), ("--schema", "in.jsonl"), ("--gate", "localhost:1")]
)
def test_options_that_cannot_be_meant_are_refused(tmp_path: Path, option: tuple[str, str]) -> None:
    folder = Folder(tmp_path, "http://127.0.0.1:9")
    folder.prompts(1)
    code, _, err = folder.run("in.jsonl", "-o", "out.jsonl", "--model", "m", *option, TOLLKEEPER_KEY="tk-any")
    assert code == 1
    assert err.startswith("Error: ")
    assert "Traceback" not in err


def test_a_job_through_a_gate_is_charged_there(tmp_path: Path) -> None:
    with ScriptedUpstream(echo) as upstream:
        gate = GateProcess(tmp_path / "gate", CONFIG.format(url=upstream.url.removesuffix("/v1")), {})
        try:
            folder = Folder(tmp_path, upstream.url)
            folder.prompts(50)
            secret = gate.new_key()
            arguments = ("in.jsonl", "-o", "out.jsonl", "--model", "m", "--gate", gate.url, "--json")
            code, out, err = folder.run(*arguments, TOLLKEEPER_KEY=secret)
            assert code == 0, err
            assert json.loads(out)["cost_usd"] == "0.00075"
            assert len(gate.events_once(50)) == 50
            assert all(json.loads(line)["event"] == "progress" for line in err.splitlines())
        finally:
            gate.stop()
