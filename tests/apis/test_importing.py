"""An author's modules: found beside the config, and read anew when they change, whole or not at all."""

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import CONFIG
from kit.gate import running_gate
from kit.scripted import ScriptedUpstream
from tollkeeper.apis.importing import CannotImport, Modules


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A folder whose modules are forgotten after the test."""
    before = list(sys.path)
    yield tmp_path
    Modules(tmp_path).forget()
    sys.path[:] = before
    sys.dont_write_bytecode = False


def test_a_function_is_found_in_a_module_or_a_package_beside_the_config(folder: Path) -> None:
    (folder / "inside_package").mkdir()
    (folder / "inside_package" / "part.py").write_text("def f(): return 1\n")

    assert Modules(folder).find("inside_package.part:f")() == 1


@pytest.mark.parametrize(
    ("code", "reference", "words"),
    [
        ("x = 1", "wrong_one:f", "'wrong_one' has no 'f'"),
        ("f = 1", "wrong_two:f", "'f' is no function"),
        ("class f: pass", "wrong_three:f", "'f' is no function"),
        ("1 / 0", "wrong_four:f", r"ZeroDivisionError: division by zero \(wrong_four.py, line 1\)"),
        ("def f(:", "wrong_five:f", "SyntaxError: invalid syntax"),
        ("import nowhere_at_all", "wrong_six:f", "ModuleNotFoundError"),
        ("raise SystemExit(1)", "wrong_seven:f", "SystemExit"),
    ],
)
def test_what_cannot_be_imported_is_told_with_its_line(code: str, reference: str, words: str, folder: Path) -> None:
    (folder / f"{reference.partition(':')[0]}.py").write_text(code)

    with pytest.raises(CannotImport, match=words):
        Modules(folder).find(reference)


def test_a_change_is_told_once_and_what_was_forgotten_can_be_restored(folder: Path) -> None:
    (folder / "changing_part.py").write_text("VALUE = 1\n")
    (folder / "changing.py").write_text("from changing_part import VALUE\ndef f(): return VALUE\n")
    modules = Modules(folder)
    first = modules.find("changing:f")
    assert not modules.changed()

    (folder / "changing_part.py").write_text("VALUE = 22\n")

    assert modules.changed()
    assert not modules.changed()
    forgotten = modules.forget()
    assert modules.find("changing:f")() == 22
    modules.restore(forgotten)
    assert modules.find("changing:f") is first


def test_a_gate_in_development_answers_by_the_changed_file_and_keeps_the_last_good_one(
    upstream: ScriptedUpstream, tmp_path: Path
) -> None:
    tmp_path.joinpath("gate").mkdir()
    file = tmp_path / "gate" / "reloaded.py"
    file.write_text("def f() -> int:\n    return 1\n")
    config = CONFIG.format(url=upstream.url) + '[apis.f]\nfunction = "reloaded:f"\n'
    with running_gate(tmp_path / "gate", config, None, "--reload") as gate:
        key = gate.new_key(name="k")

        def becomes(wanted: bytes) -> bool:
            until = time.monotonic() + 20
            while gate.call("POST", "/f", key, {})[2] != wanted:
                if time.monotonic() > until:
                    return False
                time.sleep(0.05)
            return True

        assert becomes(b"1")
        file.write_text("def f() -> int:\n    return 2\n")
        assert becomes(b"2")
        file.write_text("def f( -> int:\n")
        until = time.monotonic() + 20
        while "config_refused" not in gate.log() and time.monotonic() < until:
            time.sleep(0.05)
        assert "SyntaxError" in gate.log()
        assert becomes(b"2")
        file.write_text("def f() -> int:\n    return 3\n")
        assert becomes(b"3")
