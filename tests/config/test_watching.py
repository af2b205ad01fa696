"""A config file that was changed is noticed when it is whole."""

from pathlib import Path

from tollkeeper.config.watching import FileWatch


def test_a_changed_file_is_noticed_at_the_second_look_that_finds_it_the_same(tmp_path: Path) -> None:
    file = tmp_path / "tollkeeper.toml"
    file.write_text("a = 1")
    watch = FileWatch(lambda: [file])
    assert not watch.changed()

    file.write_text("a = 1\nb =")
    assert not watch.changed()
    file.write_text("a = 1\nb = 2")
    assert not watch.changed()
    assert watch.changed()
    watch.taken()
    assert not watch.changed()


def test_a_file_that_goes_and_comes_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "tollkeeper.toml"
    watch = FileWatch(lambda: [file])

    file.write_text("a = 1")
    assert [watch.changed(), watch.changed()] == [False, True]
    watch.taken()
    file.unlink()
    assert [watch.changed(), watch.changed()] == [False, True]


def test_without_a_file_nothing_changes() -> None:
    watch = FileWatch(list)
    assert [watch.changed(), watch.changed()] == [False, False]


def test_a_file_that_is_looked_at_from_now_on_has_not_changed_yet(tmp_path: Path) -> None:
    config, secret = tmp_path / "tollkeeper.toml", tmp_path / "token"
    config.write_text("a = 1")
    secret.write_text("old")
    watched = [config]
    watch = FileWatch(lambda: watched)

    watched.append(secret)
    assert [watch.changed(), watch.changed()] == [False, False]
    secret.write_text("newer")
    assert [watch.changed(), watch.changed()] == [False, True]
