"""Run by the newest mcp's own Python: signs in where the server at `url` leads it, then does as mcp_newest does."""

import asyncio
import json
import sys
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientMetadata

from mcp import Client


class Storage:
    """Keeps what a client knows between its requests."""

    tokens = client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client_info):
        self.client = client_info


async def done(job):
    arrived = {}

    async def browse(url):
        async with httpx2.AsyncClient(timeout=30) as browser:
            answer = await browser.get(url, follow_redirects=False)
        arrived.update(
            {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}
        )

    async def came_back():
        return AuthorizationCodeResult(code=arrived["code"], state=arrived["state"], iss=arrived["iss"])

    storage = Storage()
    metadata = OAuthClientMetadata(redirect_uris=["http://127.0.0.1:1/callback"], token_endpoint_auth_method="none")
    signing_in = OAuthClientProvider(job["url"], metadata, storage, browse, came_back)
    async with (
        httpx2.AsyncClient(auth=signing_in, timeout=30) as http,
        Client(streamable_http_client(job["url"], http_client=http), mode=job["mode"]) as client,
    ):
        tools = await client.list_tools()
        results = [await client.call_tool(name, arguments) for name, arguments in job["calls"]]
        return {
            "scope": storage.tokens.scope,
            "tools": [tool.name for tool in tools.tools],
            "results": [{"failed": result.is_error, "text": result.content[0].text} for result in results],
        }


print(json.dumps(asyncio.run(done(json.load(sys.stdin)))))
