"""The newest openai for Python: bytes that are not JSON. Files, batches and sound, up and down, unchanged."""

import base64
import hashlib
import io
import json
import random
from collections.abc import Iterator

import pytest
from openai import NotFoundError, OpenAI

from clients.aimock import FIXTURES, Aimock
from clients.caller import Caller, tokens


@pytest.fixture
def client(caller: Caller) -> Iterator[OpenAI]:
    """As a user makes it, but that nothing is tried twice."""
    with OpenAI(base_url=caller.base_url, api_key=caller.key, max_retries=0) as made:
        yield made


def test_a_file_goes_up_comes_down_and_goes_away(client: OpenAI, caller: Caller) -> None:
    content = random.Random(7).randbytes(3_000_000)

    made = client.files.create(file=("bytes.bin", content), purpose="user_data")
    listed = [item.id for item in client.files.list()]
    seen = client.files.retrieve(made.id)
    back = client.files.content(made.id).read()
    gone = client.files.delete(made.id)

    assert made.bytes == len(content)
    assert made.id in listed
    assert (seen.id, seen.filename) == (made.id, "bytes.bin")
    assert hashlib.sha256(back).digest() == hashlib.sha256(content).digest()
    assert gone.deleted
    with pytest.raises(NotFoundError):
        client.files.retrieve(made.id)
    events = caller.events(6)
    assert [event["operation"] for event in events] == ["files"] * 6
    assert [event["outcome"] for event in events] == ["ok"] * 5 + ["error"]
    assert [tokens(event) for event in events] == [(0, 0)] * 6


def test_a_files_content_can_be_streamed_to_the_client(client: OpenAI, caller: Caller) -> None:
    content = random.Random(8).randbytes(1_000_000)
    made = client.files.create(file=("bytes.bin", content), purpose="user_data")
    received = io.BytesIO()

    with client.files.with_streaming_response.content(made.id) as answer:
        for chunk in answer.iter_bytes(65536):
            received.write(chunk)

    assert received.getvalue() == content
    assert len(caller.events(2)) == 2


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("lines.jsonl", b'{"prompt": 1}\n{"prompt": 2}\n'),
        ("broken.json", b'{"this is": not JSON'),
        ("empty.json", b" "),
    ],
)
def test_a_file_comes_down_as_it_is_whatever_its_name_promises(
    client: OpenAI, caller: Caller, name: str, content: bytes
) -> None:
    made = client.files.create(file=(name, content), purpose="user_data")

    assert client.files.content(made.id).read() == content
    assert [event["outcome"] for event in caller.events(2)] == ["ok", "ok"]


@pytest.mark.parametrize("name", ["saved.json", "saved.txt"])
def test_a_file_that_tells_of_usage_costs_no_tokens_to_fetch(client: OpenAI, caller: Caller, name: str) -> None:
    saved = {"object": "chat.completion", "usage": {"prompt_tokens": 1000, "completion_tokens": 500}}
    made = client.files.create(file=(name, json.dumps(saved).encode()), purpose="user_data")

    assert client.files.content(made.id).json() == saved
    assert [tokens(event) for event in caller.events(2)] == [(0, 0), (0, 0)]


def test_a_batch_runs_from_its_file_to_its_results(client: OpenAI, caller: Caller) -> None:
    body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "say hello"}]}
    line = {"method": "POST", "url": "/v1/chat/completions", "body": body}
    lines = [json.dumps({"custom_id": name, **line}) for name in ("one", "two")]
    given = client.files.create(file=("in.jsonl", "\n".join(lines).encode()), purpose="batch")

    made = client.batches.create(input_file_id=given.id, endpoint="/v1/chat/completions", completion_window="24h")
    for _ in range(10):
        batch = client.batches.retrieve(made.id)
        if batch.status == "completed":
            break

    assert batch.status == "completed"
    assert batch.output_file_id is not None
    results = [json.loads(line) for line in client.files.content(batch.output_file_id).text.splitlines()]
    assert [result["custom_id"] for result in results] == ["one", "two"]
    assert [result["response"]["body"]["object"] for result in results] == ["chat.completion"] * 2
    events = caller.gate.events(key=caller.id)
    assert {event["operation"] for event in events} == {"files", "batches"}
    assert {tokens(event) for event in events} == {(0, 0)}


def test_a_recording_is_uploaded_and_its_words_come_back(client: OpenAI, caller: Caller, aimock: Aimock) -> None:
    sound = random.Random(9).randbytes(200_000)

    answer = client.audio.transcriptions.create(model="whisper-1", file=("cat.mp3", sound), language="en")

    assert answer.text == "A cat sat on a mat."
    event = caller.event()
    assert (event["operation"], event["model"], event["outcome"]) == ("transcription", "whisper-1", "ok")
    assert aimock.journal(path="/v1/audio/transcriptions", limit="1000")[-1]["body"]["model"] == "whisper-1"


def test_a_models_name_of_the_gates_own_is_replaced_in_a_form_too(
    client: OpenAI, caller: Caller, aimock: Aimock
) -> None:
    answer = client.audio.transcriptions.create(model="team/ears", file=("cat.mp3", b"not really" * 1000))

    assert answer.text == "A cat sat on a mat."
    assert (caller.event()["model_asked"], caller.event()["model"]) == ("team/ears", "whisper-1")
    assert aimock.journal(path="/v1/audio/transcriptions", limit="1000")[-1]["body"]["model"] == "whisper-1"


def test_an_image_is_made_and_changed(client: OpenAI, caller: Caller) -> None:
    made = client.images.generate(model="gpt-image-1", prompt="a cat")
    changed = client.images.edit(
        model="gpt-image-1", prompt="a hat", image=[("cat.png", b"\x89PNG" * 1000, "image/png")]
    )

    assert [one.data[0].b64_json for one in (made, changed) if one.data] == ["iVBORw0KGgo="] * 2
    events = caller.events(2)
    assert [(event["operation"], event["outcome"], event["model"]) for event in events] == [
        ("image_generation", "ok", "gpt-image-1")
    ] * 2


def test_a_speech_is_downloaded_byte_for_byte(client: OpenAI, caller: Caller) -> None:
    fixtures = json.loads(FIXTURES.read_text("utf-8"))["fixtures"]
    [sound] = [base64.b64decode(one["response"]["audio"]) for one in fixtures if "audio" in one["response"]]

    answer = client.audio.speech.create(model="tts-1", voice="alloy", input="hello")

    assert answer.read() == sound
    assert answer.response.headers["content-type"] == "audio/mpeg"
    event = caller.event()
    assert (event["operation"], event["outcome"], event["model"]) == ("speech", "ok", "tts-1")


def test_a_request_without_a_model_goes_to_the_provider_that_its_header_names(client: OpenAI, caller: Caller) -> None:
    client.files.list()
    with pytest.raises(NotFoundError):
        client.files.list(extra_headers={"x-tollkeeper-provider": "azure-mock"})
    with pytest.raises(NotFoundError) as caught:
        client.files.list(extra_headers={"x-tollkeeper-provider": "nobody"})

    assert caught.value.code == "provider_not_found"
    assert [event["provider"] for event in caller.events(2)] == ["mock", "azure-mock"]
