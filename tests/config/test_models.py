"""A model's targets: names or tables, how they are shared out, and what is wrong with them when it is."""

from pathlib import Path

import pytest

from tollkeeper import config
from tollkeeper.config import Loaded
from tollkeeper.core.account import Balancing, Target
from tollkeeper.core.errors import ConfigError
from tollkeeper.flow.health import HealthOptions
from tollkeeper.flow.retries import RetryOptions

PROVIDERS = "".join(
    f'[providers.{name}]\nkind = "vllm"\nbase_url = "http://127.0.0.1:{port}/v1"\n'
    for name, port in (("a", 1), ("b", 2))
)


def load(folder: Path, text: str) -> Loaded:
    path = folder / "gate.toml"
    path.write_text(PROVIDERS + text, "utf-8")
    return config.load(path, {})


def test_a_target_is_a_name_or_a_table_that_says_more(tmp_path: Path) -> None:
    loaded = load(
        tmp_path,
        """
        [models.m]
        targets = ["a/x", { target = "b/y/z", weight = 2.5, concurrency = 7, price = { input = 1 } }]
        strategy = "least-cost"
        affinity = true
        fall_back_on = ["context_length", "model_not_found"]
        price = { input = 3, output = 4 }
        [models.plain]
        targets = ["a/x"]
        """,
    )
    first, second = loaded.models["m"]

    assert (first.name, first.weight, first.concurrency) == ("a/x", 1.0, None)
    assert (second.name, second.weight, second.concurrency) == ("b/y/z", 2.5, 7)
    assert first.price is not None
    assert second.price is not None
    assert (first.price.input, first.price.output) == (3_000_000_000, 4_000_000_000)
    assert (second.price.input, second.price.output) == (1_000_000_000, 0)
    assert loaded.balancing["m"] == Balancing(
        strategy="least-cost", affinity=True, fall_back_on=frozenset(("context_length", "model_not_found"))
    )
    assert loaded.balancing["plain"] == Balancing()
    assert loaded.models["plain"] == (Target(loaded.accounts["a"], "x"),)


def test_retries_and_health_are_set_or_have_their_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "").config.retry == RetryOptions()
    found = load(tmp_path, "[retry]\nretries = 0\ndeadline = 1.5\n[health]\nfailures = 1\nshare = 1\n").config

    assert (found.retry.retries, found.retry.deadline, found.retry.cap) == (0, 1.5, 8.0)
    assert (found.health, found.health.slow_start) == (HealthOptions(failures=1, share=1.0), 30.0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('targets = [{ target = "nobody/x" }]', "names the provider 'nobody'"),
        ('targets = [{ target = "a" }]', "expected 'provider/model', got 'a'"),
        ("targets = [{ weight = 1 }]", "missing required field `target`"),
        ('targets = [{ target = "a/x", wieght = 1 }]', "there is no such field here"),
        ('targets = [{ target = "a/x", weight = 0 }]', "> 0.0"),
        ('targets = [{ target = "a/x", weight = inf }]', "expected a finite number"),
        ('targets = [{ target = "a/x", concurrency = 0 }]', ">= 1"),
        ('targets = [{ target = "a/x", price = { input = -1 } }]', "expected USD, 0 or more"),
        ('targets = [{ target = "a/x", price = { input = nan } }]', "expected USD, 0 or more"),
        ('targets = ["a/x", { target = "a/x" }]', "'a/x' is there twice"),
        ("targets = [7]", "expected"),
        ("targets = []", "expected at least one 'provider/model'"),
        ('targets = ["a/x"]\nstrategy = "fastest"', "invalid enum value 'fastest'"),
        ('targets = ["a/x"]\nfall_back_on = ["anything"]', "invalid enum value 'anything'"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(tmp_path, f"[models.m]\n{text}\n")

    [problem] = raised.value.problems
    assert problem.startswith(f"{tmp_path}/gate.toml:")
    assert "models.m." in problem
    assert told in problem
