"""Run by openai 0.28's own Python: one job from stdin, what came of it to stdout, JSON both ways.

A job names a function below and its arguments. Address and key come from OPENAI_API_BASE and OPENAI_API_KEY, which this
client reads itself.
"""

import asyncio
import io
import json
import sys
import time

import openai


def chat(**fields):
    return openai.ChatCompletion.create(**fields)


def stream(**fields):
    return list(openai.ChatCompletion.create(stream=True, **fields))


def chat_async(**fields):
    return asyncio.run(openai.ChatCompletion.acreate(**fields))


def stream_async(**fields):
    async def gather():
        return [chunk async for chunk in await openai.ChatCompletion.acreate(stream=True, **fields)]

    return asyncio.run(gather())


def completion(**fields):
    return openai.Completion.create(**fields)


def embed(**fields):
    return openai.Embedding.create(**fields)


def models():
    return openai.Model.list()


def transcribe(model, sound):
    file = io.BytesIO(sound.encode())
    file.name = "cat.mp3"
    return openai.Audio.transcribe(model, file)


def file_there_and_back(name, content):
    made = openai.File.create(file=io.BytesIO(content.encode()), purpose="fine-tune", user_provided_filename=name)
    back = openai.File.download(made["id"]).decode()
    listed = [file["id"] for file in openai.File.list()["data"]]
    gone = openai.File.delete(made["id"])
    return {"back": back, "listed": made["id"] in listed, "deleted": gone["deleted"]}


def main():
    job = json.load(sys.stdin)
    began = time.monotonic()
    try:
        result = {"answer": globals()[job["call"]](**job.get("with", {}))}
    except openai.error.OpenAIError as error:
        result = {
            "error": type(error).__name__,
            "status": error.http_status,
            "message": error.user_message,
            "code": getattr(error, "code", None),
        }
    json.dump({**result, "seconds": time.monotonic() - began, "version": openai.VERSION}, sys.stdout)


main()
