"""The newest openai for Python, asynchronous: many calls at once, and a client that leaves."""

import asyncio
import contextlib
import random

from openai import AsyncOpenAI

from clients.aimock import HELLO, HELLO_TOKENS
from clients.caller import Caller, tokens
from clients.talking import TalkingOn
from kit.scripted import ScriptedUpstream, chat_events, usage_of

ASK = [{"role": "user", "content": "say hello"}]


def test_forty_calls_at_once_are_forty_answers_and_forty_events(caller: Caller) -> None:
    async def plain(client: AsyncOpenAI) -> str | None:
        answer = await client.chat.completions.create(model="gpt-4o-mini", messages=ASK)
        return answer.choices[0].message.content

    async def streamed(client: AsyncOpenAI) -> str:
        stream = await client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True)
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def all_at_once() -> list[str | None]:
        async with AsyncOpenAI(base_url=caller.base_url, api_key=caller.key, max_retries=0) as client:
            return await asyncio.gather(*(call(client) for _ in range(20) for call in (plain, streamed)))

    assert asyncio.run(all_at_once()) == [HELLO] * 40
    events = caller.events(40)
    assert [tokens(event) for event in events] == [HELLO_TOKENS] * 40
    assert {event["quality"] for event in events} == {"reported"}


def test_the_stream_helper_gathers_text_and_usage(caller: Caller) -> None:
    async def ask() -> tuple[str, int]:
        async with (
            AsyncOpenAI(base_url=caller.base_url, api_key=caller.key, max_retries=0) as client,
            client.chat.completions.stream(
                model="gpt-4o-mini", messages=ASK, stream_options={"include_usage": True}
            ) as stream,
        ):
            final = await stream.get_final_completion()
            assert final.usage is not None
            return final.choices[0].message.content or "", final.usage.total_tokens

    assert asyncio.run(ask()) == (HELLO, sum(HELLO_TOKENS))
    assert tokens(caller.event()) == HELLO_TOKENS


def test_a_streamed_response_is_gathered_by_the_helper(caller: Caller) -> None:
    async def ask() -> str:
        async with (
            AsyncOpenAI(base_url=caller.base_url, api_key=caller.key, max_retries=0) as client,
            client.responses.stream(model="gpt-4o-mini", input="say hello") as stream,
        ):
            return (await stream.get_final_response()).output_text

    assert asyncio.run(ask()) == HELLO
    assert tokens(caller.event()) == HELLO_TOKENS


def test_embeddings_arrive_as_numbers(caller: Caller) -> None:
    async def ask() -> int:
        async with AsyncOpenAI(base_url=caller.base_url, api_key=caller.key, max_retries=0) as client:
            answer = await client.embeddings.create(model="text-embedding-3-small", input="one", dimensions=8)
            return len(answer.data[0].embedding)

    assert asyncio.run(ask()) == 8
    assert caller.event()["operation"] == "embeddings"


def test_files_go_up_and_come_down(caller: Caller) -> None:
    content = random.Random(1).randbytes(300_000)

    async def there_and_back() -> bytes:
        async with AsyncOpenAI(base_url=caller.base_url, api_key=caller.key, max_retries=0) as client:
            made = await client.files.create(file=("bytes.bin", content), purpose="user_data")
            back = await client.files.content(made.id)
            await client.files.delete(made.id)
            return back.read()

    assert asyncio.run(there_and_back()) == content
    assert {event["outcome"] for event in caller.events(3)} == {"ok"}


def test_a_client_that_is_cancelled_midway_is_charged_once_for_all_that_the_provider_reports(
    scripted_caller: Caller, upstream: ScriptedUpstream
) -> None:
    upstream.script = talking = TalkingOn(chat_events(["one ", "two ", "three ", "four "], usage_of(9, 4)))

    async def ask() -> None:
        async with AsyncOpenAI(base_url=scripted_caller.base_url, api_key=scripted_caller.key, max_retries=0) as client:
            stream = await client.chat.completions.create(model="gpt-4o-mini", messages=ASK, stream=True)
            async for _ in stream:
                raise asyncio.CancelledError

    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(ask())

    talking.listener_has_gone()
    event = scripted_caller.event()
    assert tokens(event) == (9, 4)
    assert (event["outcome"], event["quality"]) == ("client_left", "reported")
