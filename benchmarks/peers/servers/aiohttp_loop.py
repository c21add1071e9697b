"""aiohttp: `send_json` to one WebSocket after the other."""

import asyncio
import json
from functools import partial
from typing import Any

from aiohttp import web

from benchmarks.peers.servers.speaker import announce, obey

compact = partial(json.dumps, separators=(",", ":"))
sockets: set[web.WebSocketResponse] = set()


async def handle(request: web.Request) -> web.WebSocketResponse:
    ws = web.WebSocketResponse()
    await ws.prepare(request)
    sockets.add(ws)
    try:
        async for _ in ws:
            pass
    finally:
        sockets.discard(ws)
    return ws


async def publish(event: dict[str, Any]) -> None:
    for ws in sockets:
        await ws.send_json(event, dumps=compact)


async def main() -> None:
    app = web.Application()
    app.router.add_get("/", handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    announce(runner.addresses[0][1])
    await obey(publish)


if __name__ == "__main__":
    asyncio.run(main())
