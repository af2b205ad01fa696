"""The bulk client that tutorials write: a semaphore, a session, None for what failed; no journal, no ledger, no limits."""

import asyncio
import json
import sys
from typing import Any

import aiohttp


async def main(port: str, source: str, target: str, at_once: str) -> None:
    """Asks every line of `source`, so many `at_once` at most."""
    semaphore = asyncio.Semaphore(int(at_once))
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    with open(source, encoding="utf-8") as stream:
        prompts = [json.loads(line)["prompt"] for line in stream]

    connector = aiohttp.TCPConnector(limit=int(at_once))  # 100 unless said otherwise
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=10)) as session:

        async def ask(prompt: str) -> Any:
            body = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": prompt}]}
            async with semaphore:
                for attempt in range(20):
                    try:
                        async with session.post(url, json=body) as answer:
                            return (await answer.json())["choices"][0]["message"]["content"]
                    except Exception:
                        await asyncio.sleep(2**attempt)
            return None

        answers = await asyncio.gather(*map(ask, prompts))
    with open(target, "w", encoding="utf-8") as stream:
        stream.writelines(json.dumps(answer) + "\n" for answer in answers)


asyncio.run(main(*sys.argv[1:]))
