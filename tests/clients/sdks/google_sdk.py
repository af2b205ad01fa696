"""Google's client for Python: jobs in on stdin, what came of each out on stdout, JSON both ways."""

import base64
import json
import sys

from google import genai
from google.genai import errors, types


def main() -> None:
    given = json.load(sys.stdin)
    options = types.HttpOptions(base_url=given["url"])
    client = genai.Client(api_key=given["key"], http_options=options)
    print(json.dumps([outcome(client, job) for job in given["jobs"]]))


def outcome(client, job):
    try:
        return answered(client, job)
    except errors.APIError as error:
        return {"error": error.code, "message": str(error)}


def answered(client, job):
    parts = [types.Part(text=job["text"])]
    if job.get("image"):
        parts.append(types.Part.from_bytes(data=base64.b64decode(job["image"]), mime_type="image/png"))
    config = {}
    if job.get("tools"):
        declared = [{"name": tool["name"], "parameters_json_schema": tool["schema"]} for tool in job["tools"]]
        config["tools"] = [{"function_declarations": declared}]
        config["automatic_function_calling"] = {"disable": True}
    if job.get("schema"):
        config |= {"response_mime_type": "application/json", "response_json_schema": job["schema"]}
    asked = {"model": job["model"], "contents": [types.Content(role="user", parts=parts)], "config": config or None}
    if job["stream"]:
        chunks = list(client.models.generate_content_stream(**asked))
    else:
        chunks = [client.models.generate_content(**asked)]
    said = [
        part
        for chunk in chunks
        for candidate in chunk.candidates or ()
        for part in (candidate.content.parts if candidate.content else None) or ()
    ]
    usage = next(chunk.usage_metadata for chunk in reversed(chunks) if chunk.usage_metadata)
    calls = [part.function_call for part in said if part.function_call]
    return {
        "text": "".join(part.text for part in said if part.text and not part.thought),
        "thoughts": "".join(part.text for part in said if part.text and part.thought),
        "tools": [[call.name, call.args or {}] for call in calls],
        "stop": bool(calls),
        "tokens": [
            usage.prompt_token_count,
            (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0),
        ],
    }


main()
