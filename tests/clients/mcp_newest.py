"""Run by the newest mcp's own Python: one job from stdin, what came of it to stdout, JSON both ways.

The job has `servers`: `url`, `key` and `calls` (tools and their arguments) of each.
"""

import asyncio
import json
import sys

import httpx2
from mcp.client.streamable_http import streamable_http_client

from mcp import Client


async def used(server):
    headers = {"Authorization": f"Bearer {server['key']}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=30) as http,
        Client(streamable_http_client(server["url"], http_client=http)) as client,
    ):
        tools = await client.list_tools()
        results = [await client.call_tool(name, arguments) for name, arguments in server["calls"]]
        return {
            "revision": client.protocol_version,
            "server": client.server_info.name,
            "tools": {tool.name: tool.annotations.read_only_hint for tool in tools.tools},
            "results": [
                {"failed": result.is_error, "text": result.content[0].text, "structured": result.structured_content}
                for result in results
            ],
        }


async def all_used(job):
    return [await used(server) for server in job["servers"]]


print(json.dumps(asyncio.run(all_used(json.load(sys.stdin)))))
