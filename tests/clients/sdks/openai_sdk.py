"""OpenAI's newest client for Python, by Chat Completions or Responses: jobs in on stdin, outcomes out, JSON both ways."""

import json
import sys

import openai


def main() -> None:
    given = json.load(sys.stdin)
    client = openai.OpenAI(base_url=given["url"] + "/v1", api_key=given["key"], max_retries=0)
    ask = {"chat": chat, "responses": responses}[given["api"]]
    print(json.dumps([outcome(ask, client, job) for job in given["jobs"]]))


def outcome(ask, client, job):
    try:
        return ask(client, job)
    except openai.APIError as error:
        return {"error": getattr(error, "status_code", None) or 0, "message": str(error)}


def chat(client, job):
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
        with client.chat.completions.stream(**asked, stream_options={"include_usage": True}) as stream:
            answer = stream.get_final_completion()
    else:
        answer = client.chat.completions.create(**asked)
    message = answer.choices[0].message
    return {
        "text": message.content or "",
        "thoughts": getattr(message, "reasoning_content", None) or "",
        "tools": [
            [call.function.name, json.loads(call.function.arguments or "null")] for call in message.tool_calls or ()
        ],
        "stop": answer.choices[0].finish_reason == "tool_calls",
        "tokens": [answer.usage.prompt_tokens, answer.usage.completion_tokens],
    }


def responses(client, job):
    content = [{"type": "input_text", "text": job["text"]}]
    if job.get("image"):
        content.append({"type": "input_image", "image_url": "data:image/png;base64," + job["image"]})
    asked = {"model": job["model"], "input": [{"role": "user", "content": content}]}
    if job.get("tools"):
        asked["tools"] = [
            {"type": "function", "name": tool["name"], "parameters": tool["schema"], "strict": False}
            for tool in job["tools"]
        ]
    if job.get("schema"):
        asked["text"] = {"format": {"type": "json_schema", "name": "it", "schema": job["schema"]}}
    if job["stream"]:
        with client.responses.stream(**asked) as stream:
            for event in stream:
                if event.type == "error":
                    return {"error": 0, "message": event.message}
            answer = stream.get_final_response()
    else:
        answer = client.responses.create(**asked)
    calls = [item for item in answer.output if item.type == "function_call"]
    thoughts = [part.text for item in answer.output if item.type == "reasoning" for part in item.summary or ()]
    return {
        "text": answer.output_text,
        "thoughts": "".join(thoughts),
        "tools": [[call.name, json.loads(call.arguments or "null")] for call in calls],
        "stop": bool(calls),
        "tokens": [answer.usage.input_tokens, answer.usage.output_tokens],
    }


main()
