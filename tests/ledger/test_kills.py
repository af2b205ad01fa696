"""kill -9 at random moments under load, again and again: nothing is lost, nothing is counted twice. Takes a minute."""

import asyncio
import random
import signal
import threading
import time
from pathlib import Path

import pytest

from kit.gate import running_gate
from kit.scripted import ScriptedUpstream
from ledger.mixed import Count, counting_upstream, many

CONFIG = """
[providers.up]
kind = "openai"
base_url = "{url}"
api_key = "sk-x"
[models.m]
targets = ["up/m"]
price = {{ input = 1, output = 2 }}
"""
KILLS = 40
AT_ONCE = 25


@pytest.mark.long
def test_40_kills_at_random_moments_lose_nothing_and_count_nothing_twice(tmp_path: Path) -> None:
    draw = random.Random(20261120)
    count = Count()
    with (
        ScriptedUpstream(counting_upstream(count, "sk-x")) as upstream,
        running_gate(tmp_path, CONFIG.format(url=upstream.url)) as gate,
    ):
        key = gate.new_key(name="caller")
        for kill in range(KILLS):
            first, port = kill * 1000, gate.port
            load = threading.Thread(
                target=lambda port=port, first=first: asyncio.run(many(port, key, first, first + 400, first, AT_ONCE))
            )
            load.start()
            time.sleep(draw.uniform(0.02, 0.6))
            gate.stop(signal.SIGKILL)
            load.join(60)
            gate.start()

        events = gate.command("events", "--limit", "1000000")
        recovered = [event for event in events if event["quality"] == "recovered"]
        reported = [event for event in events if event["quality"] == "reported"]
        assert len({(event["request_id"], event["attempt"]) for event in events}) == len(events)
        assert len(count.seen) <= len(events) <= len(count.seen) + KILLS * AT_ONCE
        assert len(reported) <= len(count.reported) <= len(reported) + len(recovered)
        verified = gate.command("verify")
        assert (verified["ok"], verified["open_holds"]) == (True, 0)
        print(f"{KILLS} kills, {len(events)} events, {len(recovered)} recovered, upstream saw {len(count.seen)}")
