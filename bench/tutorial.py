"""The proxy that a tutorial would write, run with the packages in .peers: FastAPI and one httpx client."""

import os
from typing import Any

import httpx
from fastapi import FastAPI, HTTPException, Request

app = FastAPI()
client = httpx.AsyncClient(timeout=60)


@app.post("/v1/chat/completions")
async def chat(request: Request) -> Any:
    """Checks the key, sends the body on, gives the answer back."""
    if request.headers.get("authorization") != f"Bearer {os.environ['BENCH_KEY']}":
        raise HTTPException(401)
    body = await request.json()
    answer = await client.post(os.environ["BENCH_UPSTREAM"], json=body, headers={"authorization": "Bearer x"})
    return answer.json()
