"""Run by the newest mcp's own Python: one job from stdin, what came of it to stdout, JSON both ways.

The job has `url`, `key`, `mode` (auto or legacy) and `calls` (tools and their arguments).
"""

import asyncio
import json
import sys

import httpx2
from mcp.client.streamable_http import streamable_http_client

from mcp import Client


async def done(job):
    headers = {"Authorization": f"Bearer {job['key']}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(streamable_http_client(job["url"], http_client=http), mode=job["mode"]) as client,
    ):
        tools = await client.list_tools()
        results = [await client.call_tool(name, arguments) for name, arguments in job["calls"]]
        return {
            "revision": client.protocol_version,
            "server": client.server_info.name,
            "tools": {tool.name: tool.annotations.read_only_hint for tool in tools.tools},
            "results": [
                {"failed": result.is_error, "text": result.content[0].text, "structured": result.structured_content}
                for result in results
            ],
        }


print(json.dumps(asyncio.run(done(json.load(sys.stdin)))))
