"""OpenAI's client for Python before 1.0: jobs in on stdin, what came of each out on stdout, JSON both ways."""

import json
import sys

import openai


def main() -> None:
    given = json.load(sys.stdin)
    openai.api_base, openai.api_key = given["url"] + "/v1", given["key"]
    print(json.dumps([outcome(job) for job in given["jobs"]]))


def outcome(job):
    try:
        return answered(job)
    except openai.error.OpenAIError as error:
        return {"error": error.http_status or 0, "message": str(error)}


def answered(job):
    content = [{"type": "text", "text": job["text"]}]
    if job.get("image"):
        content.append({"type": "image_url", "image_url": {"url": "data:image/png;base64," + job["image"]}})
    asked = {"model": job["model"], "messages": [{"role": "user", "content": content}]}
    if job.get("tools"):
        asked["tools"] = [
            {"type": "function", "function": {"name": tool["name"], "parameters": tool["schema"]}}
            for tool in job["tools"]
        ]
    if job.get("schema"):
        asked["response_format"] = {"type": "json_schema", "json_schema": {"name": "it", "schema": job["schema"]}}
    if job["stream"]:
        return gathered(openai.ChatCompletion.create(stream=True, stream_options={"include_usage": True}, **asked))
    answer = openai.ChatCompletion.create(**asked)
    message = answer["choices"][0]["message"]
    calls = [call["function"] for call in message.get("tool_calls") or ()]
    return said(
        message.get("content"),
        message.get("reasoning_content"),
        [[call["name"], call["arguments"]] for call in calls],
        answer["choices"][0]["finish_reason"],
        answer["usage"],
    )


def gathered(chunks):
    text, thoughts, calls, stop, usage = "", "", {}, None, None
    for chunk in chunks:
        usage = chunk.get("usage") or usage
        for choice in chunk["choices"]:
            delta = choice["delta"]
            text += delta.get("content") or ""
            thoughts += delta.get("reasoning_content") or ""
            stop = choice.get("finish_reason") or stop
            for call in delta.get("tool_calls") or ():
                named = calls.setdefault(call["index"], ["", ""])
                named[0] += call["function"].get("name") or ""
                named[1] += call["function"].get("arguments") or ""
    return said(text, thoughts, [calls[index] for index in sorted(calls)], stop, usage)


def said(text, thoughts, calls, stop, usage):
    return {
        "text": text or "",
        "thoughts": thoughts or "",
        "tools": [[name, json.loads(arguments)] for name, arguments in calls],
        "stop": stop == "tool_calls",
        "tokens": [usage["prompt_tokens"], usage["completion_tokens"]],
    }


main()
