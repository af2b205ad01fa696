"""A process that holds, ends and sums as a gate does, and notes in the disk's log what it was told is on disk."""

import asyncio
import os
import random
import sys
import time
from pathlib import Path

from kit.disks import acknowledge
from kit.records import ending, hold
from tollkeeper.stores.sqlite import upkeep
from tollkeeper.stores.sqlite.ledger import SqliteLedger
from tollkeeper.stores.sqlite.upkeep import Upkeep


async def write(home: Path, calls: int, log: int, seed: int) -> None:
    draw = random.Random(seed)
    ledger = SqliteLedger(home, lambda trouble: None)
    kept = Upkeep(home, ledger, 400, time.time, time.monotonic, lambda trouble: None)
    kept.start()

    async def call() -> None:
        held = hold()
        await ledger.hold(held)
        acknowledge(log, held.request_id)
        await asyncio.sleep(draw.random() * 0.01)
        if draw.random() < 0.9:
            ledger.settle(ending(held))

    async def caller() -> None:
        for _ in range(calls // 10):
            await call()

    await asyncio.gather(*(caller() for _ in range(10)))
    await kept.close()
    await ledger.close()


if __name__ == "__main__":
    upkeep._EVERY = 0.01
    upkeep._CHECKPOINT_ROWS = 100
    upkeep._STEP = 50
    descriptor = os.open(os.environ["DISK_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    asyncio.run(write(Path(sys.argv[1]), int(sys.argv[2]), descriptor, int(sys.argv[3])))
