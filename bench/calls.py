"""The calls that the load makes: their headers, as openai-python sends them, and their bodies."""

import json

PATH = "/v1/chat/completions"
_PROMPT = "What is the capital of France? Answer in one short sentence, and do not explain your answer at all."


def headers(key: str) -> dict[str, str]:
    """What openai-python sends beside the host and the length."""
    return {
        "accept": "application/json",
        "accept-encoding": "gzip, deflate",
        "authorization": f"Bearer {key}",
        "content-type": "application/json",
        "user-agent": "OpenAI/Python 1.109.1",
        "x-stainless-arch": "x64",
        "x-stainless-async": "false",
        "x-stainless-lang": "python",
        "x-stainless-os": "Linux",
        "x-stainless-package-version": "1.109.1",
        "x-stainless-read-timeout": "600",
        "x-stainless-retry-count": "0",
        "x-stainless-runtime": "CPython",
        "x-stainless-runtime-version": "3.11.7",
    }


def small() -> bytes:
    """About 250 bytes."""
    return _body("gpt-4o-mini", _PROMPT, temperature=0.2, max_tokens=64)


def large() -> bytes:
    """About 100 KB."""
    return _body("gpt-4o-mini", (_PROMPT + "\n") * (100_000 // (len(_PROMPT) + 2)), max_tokens=64)


def streamed(model: str, hidden_usage: bool) -> bytes:
    """A streamed call. With `hidden_usage` the client does not ask for usage: a gate that does has to hide it."""
    options = {} if hidden_usage else {"stream_options": {"include_usage": True}}
    return _body(model, _PROMPT, stream=True, max_tokens=64, **options)


def request(port: int, key: str, body: bytes, path: str = PATH) -> bytes:
    """A whole HTTP request."""
    lines = [f"host: 127.0.0.1:{port}", "connection: keep-alive", f"content-length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers(key).items()]
    return "\r\n".join([f"POST {path} HTTP/1.1", *lines, "", ""]).encode() + body


def _body(model: str, prompt: str, **fields: object) -> bytes:
    messages = [{"role": "system", "content": "You are a brief assistant."}, {"role": "user", "content": prompt}]
    return json.dumps({"messages": messages, "model": model, **fields}, separators=(",", ":")).encode()
