"""Calls that fail leave nothing behind that only the garbage collector could find: the gate lets it look seldom."""

import asyncio
import gc
import time
from pathlib import Path

import msgspec
import pytest

from kit.scripted import Script, ScriptedUpstream
from kit.several import failing, model, providers, reset
from tollkeeper.app import App, open_app
from tollkeeper.core.call import Call, Presence
from tollkeeper.core.errors import UpstreamError
from tollkeeper.core.keys import Key
from tollkeeper.dialects.openai_paths import endpoint

CONFIG = '[log]\nformat = "off"\n[retry]\nbase = 0.001\n[health]\nfailures = 1000\n'


def _call(app: App, key: Key) -> Call:
    chat = endpoint("chat/completions", "POST")
    return Call(
        request_id=app.new_id(),
        key=key,
        dialect=chat.dialect,
        method="POST",
        path=chat.path,
        query=b"",
        headers=[],
        body=b'{"model":"m","messages":[]}',
        model="m",
        streamed=False,
        accepted_at=time.monotonic(),
        presence=Presence(),
        members={"model": msgspec.Raw(b'"m"'), "messages": msgspec.Raw(b"[]")},
    )


def _calls() -> int:
    return sum(isinstance(each, Call) for each in gc.get_objects())


@pytest.mark.parametrize("script", [reset, failing(500)], ids=["no answer", "an error"])
def test_a_call_whose_every_attempt_failed_is_forgotten(tmp_path: Path, script: Script) -> None:
    async def go() -> None:
        with ScriptedUpstream(script) as upstream, ScriptedUpstream(script) as other:
            (tmp_path / "home").mkdir()
            path = tmp_path / "tollkeeper.toml"
            path.write_text(providers([upstream.url, other.url]) + model(2) + CONFIG, "utf-8")
            app = open_app(path, tmp_path / "home", {})
            key, _ = app.key_store.create("caller")

            async def fail() -> None:
                try:
                    reply = await app.flow.handle(_call(app, key))
                except UpstreamError:
                    return
                assert reply.status == 500

            await fail()
            gc.collect()
            gc.disable()
            try:
                before = _calls()
                for _ in range(20):
                    await fail()
                await asyncio.sleep(0.2)  # until the events are handed on
                assert _calls() <= before
            finally:
                gc.enable()
            assert await app.close()

    asyncio.run(go())
