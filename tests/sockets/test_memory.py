"""What a socket remembers is bounded in messages and in bytes; a question goes with its answer."""

import json

from tollkeeper.sockets.memory import Memory


def said(memory: Memory) -> list[str]:
    return [json.loads(bytes(message))["content"] for message in memory.messages()]


def test_the_oldest_are_forgotten_first_in_pairs() -> None:
    memory = Memory(5, 10_000)
    for number in range(4):
        memory.add(f"q{number}", f"a{number}")

    assert said(memory) == ["q2", "a2", "q3", "a3"]


def test_bytes_are_bounded_too() -> None:
    memory = Memory(100, 300)
    memory.add("short", "short")
    memory.add("x" * 200, "y")
    assert said(memory) == ["x" * 200, "y"]
    memory.add("x" * 400, "y")
    assert said(memory) == []
    memory.forget()
    assert said(memory) == []
