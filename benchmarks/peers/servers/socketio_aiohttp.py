"""python-socketio on aiohttp: `emit` to everybody."""

import asyncio
from typing import Any

import socketio
from aiohttp import web

from benchmarks.peers.servers.speaker import announce, obey

sio = socketio.AsyncServer(async_mode="aiohttp")


async def publish(event: dict[str, Any]) -> None:
    await sio.emit("event", event)


async def main() -> None:
    app = web.Application()
    sio.attach(app)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=4096).start()
    announce(runner.addresses[0][1])
    await obey(publish)


if __name__ == "__main__":
    asyncio.run(main())
