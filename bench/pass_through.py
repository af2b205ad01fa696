"""The least that a proxy in Python does, run with the packages in .peers: aiohttp on both sides and nothing in between."""

import os
import sys
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

_SESSION = web.AppKey("session", aiohttp.ClientSession)


async def chat(request: web.Request) -> web.Response:
    """Sends the body on and gives the answer back: no key is looked at, nothing is counted or kept."""
    headers = {"authorization": "Bearer x", "content-type": "application/json"}
    async with request.app[_SESSION].post(
        os.environ["BENCH_UPSTREAM"], data=await request.read(), headers=headers
    ) as answer:
        return web.Response(body=await answer.read(), status=answer.status, content_type="application/json")


async def session(app: web.Application) -> AsyncIterator[None]:
    """One session for all calls, its connections kept."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as app[_SESSION]:
        yield


def main(port: str) -> None:
    """Serves on loopback until it is ended."""
    app = web.Application()
    app.cleanup_ctx.append(session)
    app.router.add_post("/v1/chat/completions", chat)
    web.run_app(app, host="127.0.0.1", port=int(port), access_log=None, print=None)


if __name__ == "__main__":
    import uvloop

    uvloop.install()
    main(*sys.argv[1:])
