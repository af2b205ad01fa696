"""Syncs: each way reports success and failure on the event loop, and the best that works here is found by trying."""

import asyncio
import errno
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tollkeeper.stores.sqlite import syncing
from tollkeeper.stores.sqlite.syncing import KernelSyncer, Syncer, ThreadSyncer, syncer

Make = Callable[[asyncio.AbstractEventLoop, int], Syncer]


@pytest.fixture
def file(tmp_path: Path) -> Iterator[int]:
    descriptor = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield descriptor
    os.close(descriptor)


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture(params=["kernel", "thread"])
def make(request: pytest.FixtureRequest, threads: ThreadPoolExecutor) -> Make:
    if request.param == "thread":
        return lambda loop, descriptor: ThreadSyncer(loop, threads)
    if sys.platform != "linux":
        pytest.skip("no kernel AIO here")
    return KernelSyncer


async def _sync(syncer: Syncer, descriptor: int) -> OSError | None:
    ended: asyncio.Future[OSError | None] = asyncio.get_running_loop().create_future()
    syncer.sync(descriptor, ended.set_result)
    assert not ended.done()  # whoever asked has time to remember what it was for
    return await asyncio.wait_for(ended, 10)


def test_one_sync_after_the_other_succeeds(make: Make, file: int) -> None:
    async def go() -> list[OSError | None]:
        made = make(asyncio.get_running_loop(), file)
        said = []
        for number in range(50):
            os.pwrite(file, b"x" * 5000, number * 100)
            said.append(await _sync(made, file))
        made.close()
        return said

    assert asyncio.run(go()) == [None] * 50


def test_a_sync_that_fails_says_why_and_the_next_is_its_own(make: Make, file: int) -> None:
    async def go() -> tuple[OSError | None, OSError | None, OSError | None]:
        made = make(asyncio.get_running_loop(), file)
        reading, writing = os.pipe()  # what cannot be synced: EINVAL
        said = await _sync(made, writing), await _sync(made, 9999), await _sync(made, file)
        os.close(reading)
        os.close(writing)
        made.close()
        return said

    pipe, nothing, good = asyncio.run(go())
    assert pipe is not None
    assert pipe.errno == errno.EINVAL
    assert nothing is not None
    assert nothing.errno == errno.EBADF
    assert good is None


def test_where_the_kernel_has_no_such_calls_a_thread_syncs(
    file: int, threads: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def found() -> Syncer:
        made = syncer(asyncio.get_running_loop(), threads, file)
        assert await _sync(made, file) is None
        made.close()
        return made

    kernel = asyncio.run(found())
    monkeypatch.setattr(syncing, "_SYSCALLS", dict.fromkeys(syncing._SYSCALLS, (99_999,) * 4))
    refused = asyncio.run(found())
    monkeypatch.setattr(syncing, "_SYSCALLS", {})
    unknown = asyncio.run(found())

    assert sys.platform != "linux" or isinstance(kernel, KernelSyncer)
    assert isinstance(refused, ThreadSyncer)
    assert isinstance(unknown, ThreadSyncer)


def test_what_the_kernel_cannot_sync_at_the_start_is_left_to_a_thread(threads: ThreadPoolExecutor) -> None:
    async def found() -> Syncer:
        return syncer(asyncio.get_running_loop(), threads, 9999)

    assert isinstance(asyncio.run(found()), ThreadSyncer)
