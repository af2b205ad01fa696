"""Anthropic's client for Python, any version: jobs in on stdin, what came of each out on stdout, JSON both ways."""

import json
import sys

import anthropic


def main() -> None:
    given = json.load(sys.stdin)
    client = anthropic.Anthropic(base_url=given["url"], api_key=given["key"], max_retries=0)
    print(json.dumps([outcome(client, job) for job in given["jobs"]]))


def outcome(client, job):
    try:
        return answered(client, job)
    except anthropic.APIError as error:
        return {"error": getattr(error, "status_code", None) or 0, "message": str(error)}


def answered(client, job):
    content = [{"type": "text", "text": job["text"]}]
    if job.get("image"):
        source = {"type": "base64", "media_type": "image/png", "data": job["image"]}
        content.insert(0, {"type": "image", "source": source})
    asked = {"model": job["model"], "max_tokens": 2000, "messages": [{"role": "user", "content": content}]}
    if job.get("tools"):
        asked["tools"] = [
            {"name": tool["name"], "description": "a tool", "input_schema": tool["schema"]} for tool in job["tools"]
        ]
    if job.get("schema"):
        asked["extra_body"] = {"output_config": {"format": {"type": "json_schema", "schema": job["schema"]}}}
    if job["stream"]:
        with client.messages.stream(**asked) as stream:
            message = stream.get_final_message()
    else:
        message = client.messages.create(**asked)
    return {
        "text": "".join(block.text for block in message.content if block.type == "text"),
        "thoughts": "".join(block.thinking for block in message.content if block.type == "thinking"),
        "tools": [[block.name, block.input] for block in message.content if block.type == "tool_use"],
        "stop": message.stop_reason == "tool_use",
        "tokens": [
            message.usage.input_tokens + (message.usage.cache_read_input_tokens or 0),
            message.usage.output_tokens,
        ],
    }


main()
