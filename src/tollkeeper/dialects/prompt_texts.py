"""The words of a conversation: those that become input tokens, for counting where no provider counts; the last asked."""

import msgspec

from tollkeeper.core.conversation import (
    Block,
    Conversation,
    File,
    Foreign,
    Reasoning,
    Refusal,
    Text,
    ToolResult,
    ToolUse,
    Words,
)

_encode = msgspec.json.encode


def of(conversation: Conversation) -> list[str]:
    """One string for each turn and each tool. Images, audio and files that are not text are not words."""
    found = []
    for turn in conversation.turns:
        words = [turn.role] if turn.name is None else [turn.role, turn.name]
        for block in turn.blocks:
            words += _words(block)
        found.append("\n".join(words))
    for tool in conversation.tools:
        found.append(tool.data.decode() if isinstance(tool, Foreign) else _encode(tool).decode())
    if conversation.output is not None and conversation.output.schema is not None:
        found.append(_encode(conversation.output.schema).decode())
    return found


def last_asked(conversation: Conversation) -> str | None:
    """What the user said last, without images and the like; None where the user says nothing."""
    for turn in reversed(conversation.turns):
        if turn.role == "user":
            texts = [block.text for block in turn.blocks if isinstance(block, Text) and block.text]
            if texts:
                return " ".join(texts)
    return None


def _words(block: Block) -> list[str]:
    if isinstance(block, (Text, Refusal, Reasoning)):
        return [block.text]
    if isinstance(block, ToolUse):
        return [block.name, block.arguments]
    if isinstance(block, ToolResult):
        return [word for inner in block.content for word in _words(inner)]
    if isinstance(block, File) and isinstance(block.source, Words):
        return [block.source.text]
    return []
