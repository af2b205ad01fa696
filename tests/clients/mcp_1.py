"""Run by mcp 1.9's own Python: one job from stdin, what came of it to stdout, JSON both ways.

The job has `url`, `key` and `calls` (tools and their arguments).
"""

import asyncio
import json
import sys

from mcp.client.streamable_http import streamablehttp_client

from mcp import ClientSession


async def done(job):
    headers = {"Authorization": f"Bearer {job['key']}"}
    async with (
        streamablehttp_client(job["url"], headers=headers) as (reads, writes, _),
        ClientSession(reads, writes) as session,
    ):
        about = await session.initialize()
        tools = await session.list_tools()
        results = [await session.call_tool(name, arguments) for name, arguments in job["calls"]]
        return {
            "revision": about.protocolVersion,
            "server": about.serverInfo.name,
            "tools": {tool.name: tool.annotations.readOnlyHint for tool in tools.tools},
            "results": [{"failed": result.isError, "text": result.content[0].text} for result in results],
        }


print(json.dumps(asyncio.run(done(json.load(sys.stdin)))))
