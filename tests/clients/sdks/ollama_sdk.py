"""Ollama's client for Python: jobs in on stdin, what came of each out on stdout, JSON both ways."""

import json
import sys

import ollama


def main() -> None:
    given = json.load(sys.stdin)
    client = ollama.Client(host=given["url"], headers={"authorization": "Bearer " + given["key"]})
    print(json.dumps([outcome(client, job) for job in given["jobs"]]))


def outcome(client, job):
    try:
        return answered(client, job)
    except ollama.ResponseError as error:
        return {"error": max(error.status_code, 0), "message": str(error)}


def answered(client, job):
    message = {"role": "user", "content": job["text"]}
    if job.get("image"):
        message["images"] = [job["image"]]
    asked = {"model": job["model"], "messages": [message]}
    if job.get("tools"):
        asked["tools"] = [
            {"type": "function", "function": {"name": tool["name"], "parameters": tool["schema"]}}
            for tool in job["tools"]
        ]
    if job.get("schema"):
        asked["format"] = job["schema"]
    chunks = list(client.chat(**asked, stream=True)) if job["stream"] else [client.chat(**asked)]
    calls = [call.function for chunk in chunks for call in chunk.message.tool_calls or ()]
    return {
        "text": "".join(chunk.message.content or "" for chunk in chunks),
        "thoughts": "".join(chunk.message.thinking or "" for chunk in chunks),
        "tools": [[call.name, dict(call.arguments or {})] for call in calls],
        "stop": bool(calls),
        "tokens": [chunks[-1].prompt_eval_count, chunks[-1].eval_count],
    }


main()
