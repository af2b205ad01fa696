"""A gate that publishes APIs on top of the scripted upstream."""

from collections.abc import Iterator

import pytest

from conftest import CONFIG
from kit.gate import GateProcess, running_gate
from kit.scripted import ScriptedUpstream, chat_answer, json_answer

APIS = """
[apis.hogehoge]
path = "/hogehoge"
model = "gpt-4o-mini"

[apis.any-model]

[apis.guide]
path = "/v2/guide"
model = "gpt-4o-mini"
system = "You guide through {{ place }}."
prompt = "Tell of {{ topic }} in {{ words }} words."
answer = "{{ input.topic | upper }}: {{ text }}!"
parameters = { temperature = 0.5, max_tokens = 50 }
[apis.guide.input]
topic = "string"
place = { type = "string", default = "Rome" }
words = { type = "integer", minimum = 1, default = 10 }

[apis.plain]
model = "gpt-4o-mini"
prompt = "Translate {{ text }}"

[apis.shout]
model = "gpt-4o-mini"
prompt = "{{ text }}"
answer = "{{ text | upper }}"

[apis.fields]
model = "gpt-4o-mini"
input = { a = "integer", "b?" = "string[]" }

[apis.person]
model = "gpt-4o-mini"
prompt = "Who is {{ name }}?"
[apis.person.output]
type = "object"
properties = { name = { type = "string" }, age = { type = "integer" } }
required = ["name", "age"]
additionalProperties = false

[apis.greeted]
model = "gpt-4o-mini"
system = "Be brief."
parameters = { max_tokens = 7 }

[apis.fragile]
model = "gpt-4o-mini"
prompt = "{{ x }}"
answer = "{{ input.y.z }}{{ text }}"
"""
HELLO = {"messages": [{"role": "user", "content": "Hello"}]}


@pytest.fixture(scope="module")
def gate(upstream: ScriptedUpstream, tmp_path_factory: pytest.TempPathFactory) -> Iterator[GateProcess]:
    """A gate that publishes APIs on top of the scripted upstream."""
    with running_gate(tmp_path_factory.mktemp("gate"), CONFIG.format(url=upstream.url) + APIS) as running:
        yield running


@pytest.fixture(autouse=True)
def says_hello(upstream: ScriptedUpstream) -> None:
    """Whoever needs another answer sets one."""
    upstream.script = json_answer(200, chat_answer("Hi"))
