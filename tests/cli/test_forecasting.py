"""What a job will take, said before it is run, and how far one is that another process runs."""

import json
from pathlib import Path

from kit.jobs import Folder, after, echo
from kit.scripted import ScriptedUpstream
from kit.vitals import becomes

JOB = ("in.jsonl", "-o", "out.jsonl", "--model", "m")


def test_a_dry_run_tells_rows_tokens_and_cost_and_asks_nobody(tmp_path: Path) -> None:
    with ScriptedUpstream(echo) as upstream:
        folder = Folder(tmp_path, upstream.url)
        folder.prompts(1000)
        with (tmp_path / "in.jsonl").open("a") as stream:
            stream.write("broken\n")
        code, out, err = folder.run(*JOB, "--dry-run", "--json", "--set", "max_tokens=10", "--rpm", "600")
        assert code == 0, err
        told = json.loads(out)
        assert (told["rows"], told["broken"], told["sampled"], told["answered"]) == (1001, 1, 200, 0)
        assert 5000 <= told["input_tokens"]["p50"] <= told["input_tokens"]["p90"] <= 9000
        assert told["output_tokens"]["p50"] == 10_000
        assert 0.025 <= float(told["cost_usd"][0]) <= 0.029  # 5 to 9 in, 10 out at 1 and 2 USD per million
        assert told["seconds"]["p50"] == 100
        code, out, _ = folder.run(*JOB, "--dry-run")
        assert "output tokens: not known" in out
        assert upstream.requests == []
        assert not (tmp_path / "out.jsonl.journal").exists()


def test_a_dry_run_with_a_sample_goes_by_real_answers(tmp_path: Path) -> None:
    with ScriptedUpstream(echo) as upstream:
        folder = Folder(tmp_path, upstream.url)
        folder.prompts(1000)
        code, out, err = folder.run(*JOB, "--dry-run", "--sample", "5", "--json")
        assert code == 0, err
        told = json.loads(out)
        assert len(upstream.requests) == told["answered"] == 5
        assert told["input_tokens"] == {"p50": 9000, "p90": 9000}
        assert told["cost_usd"] == ["0.015", "0.015"]
        assert told["seconds"]["p50"] > 0


def test_another_processes_job_can_be_watched_to_its_end(tmp_path: Path) -> None:
    with ScriptedUpstream(after(0.05)) as upstream:
        folder = Folder(tmp_path, upstream.url)
        folder.prompts(300)
        process = folder.start(*JOB, "--concurrency", "5")
        assert becomes(lambda: len(upstream.requests) > 10)
        code, out, err = folder.run(*JOB, "--watch", "--json")
        process.communicate(timeout=30)
        assert code == 0, err
        seen = [json.loads(line) for line in out.splitlines()]
        assert seen[0]["running"]
        assert 0 < seen[0]["rows"] < 300
        assert (seen[-1]["running"], seen[-1]["rows"], seen[-1]["cost_usd"]) == (False, 300, "0.0045")
        assert folder.run("x", "-o", "none.jsonl", "--watch")[0] == 4
        assert folder.run(*JOB, "--watch")[1].splitlines()[1:] == [
            "Nobody runs the job: it has ended, or goes on with --resume."
        ]
        assert "/s" not in folder.run(*JOB, "--watch")[1]
