"""Run by mcp 1.9's own Python: one job from stdin, what came of it to stdout, JSON both ways.

The job has `servers`: `url`, `key` and `calls` (tools and their arguments) of each.
"""

import asyncio
import json
import sys

from mcp.client.streamable_http import streamablehttp_client

from mcp import ClientSession


async def used(server):
    headers = {"Authorization": f"Bearer {server['key']}"}
    async with (
        streamablehttp_client(server["url"], headers=headers) as (reads, writes, _),
        ClientSession(reads, writes) as session,
    ):
        about = await session.initialize()
        tools = await session.list_tools()
        results = [await session.call_tool(name, arguments) for name, arguments in server["calls"]]
        return {
            "revision": about.protocolVersion,
            "server": about.serverInfo.name,
            "tools": {tool.name: tool.annotations.readOnlyHint for tool in tools.tools},
            "results": [{"failed": result.isError, "text": result.content[0].text} for result in results],
        }


async def all_used(job):
    return [await used(server) for server in job["servers"]]


print(json.dumps(asyncio.run(all_used(json.load(sys.stdin)))))
