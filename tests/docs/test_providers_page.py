"""docs/providers.md keeps its word: its tables are the providers there are, and each of its examples does what it says."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import tollkeeper
from tollkeeper import config
from tollkeeper.config import Loaded
from tollkeeper.providers import PROVIDERS

PAGE = (Path(__file__).parent.parent.parent / "docs" / "providers.md").read_text("utf-8")
KEYS = {
    "OPENAI_API_KEY": "o",
    "GROQ_BATCH_KEY": "g",
    "NEBIUS_API_KEY": "n",
    "LAB_KEY": "l",
    "AZURE_OPENAI_API_KEY": "a",
}


SPOKEN = """
import json
from tollkeeper.core.account import Account
from tollkeeper.flow.render import credentials
from tollkeeper.providers import PROVIDERS
acme = PROVIDERS["acme"]
account = Account(name="acme", provider=acme, secret="k")
said = [(name, acme.root(at), [part.decode() for part in credentials(account, at)]) for name, at in acme.speaks.items()]
print(json.dumps(said))
"""
"""Where each dialect of a provider's is spoken, and which header carries its key."""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def loaded(folder: Path, monkeypatch: pytest.MonkeyPatch, first_line: str) -> Loaded:
    """The config of the block that begins so, read as a user would have it read."""
    (text,) = (block for block in blocks("toml") if block.startswith(first_line))
    asked = set(re.findall(r"env:(\w+)", text)) | ({"OPENAI_API_KEY"} if "[providers.openai]" in text else set())
    (folder / "secrets").mkdir()
    for name in ("groq", "vertex"):
        (folder / "secrets" / name).write_text("from-a-file\n", "utf-8")
    (folder / "tollkeeper.toml").write_text(text, "utf-8")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(folder))
    return config.load(None, {name: KEYS[name] for name in asked & KEYS.keys()})


def test_the_tables_list_every_provider_that_has_a_base_url() -> None:
    rows = re.findall(r"^\| \[(.+?)\]\((.+?)\) \| `?(.+?)`? \| `(.+?)` \|$", PAGE, re.MULTILINE)
    expected = [
        (provider.name, provider.docs, provider.key_env or "-", provider.base_url)
        for provider in PROVIDERS.values()
        if provider.base_url.startswith("http")
    ]

    assert sorted(rows) == sorted(expected)


def test_the_exported_keys_turn_their_providers_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (shell,) = blocks("sh")
    exported = dict(re.findall(r"^export (\w+)=(\S+)$", shell, re.MULTILINE))
    monkeypatch.chdir(tmp_path)

    assert sorted(config.load(None, exported).accounts) == ["groq", "openai"]


def test_a_config_gives_accounts_and_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = loaded(tmp_path, monkeypatch, "[providers.openai]")

    secrets = {name: account.secret for name, account in found.accounts.items()}
    assert secrets == {"openai": "o", "groq": "from-a-file", "groq-batch": "g"}
    assert found.accounts["groq-batch"].provider == PROVIDERS["groq"]
    assert (found.accounts["groq"].leave, found.accounts["groq"].timeouts.idle) == ("cancel", 60)
    assert [target.account.name for target in found.models["fast"]] == ["groq", "openai"]


def test_a_token_in_a_file_is_read_and_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = loaded(tmp_path, monkeypatch, "[providers.vertex]")

    assert found.accounts["vertex"].secret == "from-a-file"
    assert found.files == (Path("tollkeeper.toml"), tmp_path / "secrets" / "vertex")


def test_a_model_may_bring_its_own_price(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (target,) = loaded(tmp_path, monkeypatch, "[providers.nebius]").models["qwen"]

    assert target.price is not None
    assert (target.price.input, target.price.cached_input, target.price.output) == (
        200_000_000,
        20_000_000,
        600_000_000,
    )


def test_a_server_on_this_machine_needs_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (target,) = loaded(tmp_path, monkeypatch, "[providers.ollama]").models["small"]

    assert (target.account.provider.base_url, target.account.secret) == ("http://127.0.0.1:11434/v1", None)
    assert target.model == "qwen3:8b"


def test_any_server_is_reached_by_its_base_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = loaded(tmp_path, monkeypatch, "[providers.lab]").accounts["lab"]

    assert (lab.provider.base_url, lab.provider.stream_usage) == ("https://models.lab.example/v1", "always")
    assert lab.secret == "l"


def test_azure_is_reached_by_its_deployments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (target,) = loaded(tmp_path, monkeypatch, "[providers.azure]").models["gpt-4o-mini"]
    provider = target.account.provider

    assert (provider.paths, provider.auth, provider.api_version) == ("azure", "api-key", "2024-10-21")
    assert (target.model, target.account.secret) == ("my-deployment", "a")


def test_a_provider_is_added_by_adding_its_file(tmp_path: Path) -> None:
    (added,) = blocks("python")
    package = Path(tollkeeper.__file__).parent
    shutil.copytree(package, tmp_path / "tollkeeper", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "tollkeeper" / "providers" / "acme.py").write_text(added, "utf-8")

    def said(*arguments: str) -> Any:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONPATH": str(tmp_path), "ACME_API_KEY": "k"},
            capture_output=True,
            check=True,
            timeout=60,
        )
        return json.loads(done.stdout)

    acme = said("-m", "tollkeeper", "check", "--json")["providers"]["acme"]
    assert (acme["base_url"], acme["key"]) == ("https://api.acme.example/v1", True)
    assert said("-c", SPOKEN) == [
        ["openai_chat", "https://api.acme.example/v1", ["authorization", "Bearer k"]],
        ["anthropic_messages", "https://api.acme.example/anthropic/v1", ["x-api-key", "k"]],
    ]
