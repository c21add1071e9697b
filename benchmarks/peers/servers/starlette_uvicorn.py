"""Starlette with uvicorn: `send_json` to one WebSocket after the other, as its chat examples do."""

import asyncio
import socket
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket

from benchmarks.peers.servers.speaker import announce, obey

sockets: set[WebSocket] = set()


async def handle(websocket: WebSocket) -> None:
    await websocket.accept()
    sockets.add(websocket)
    try:
        async for _ in websocket.iter_text():
            pass
    finally:
        sockets.discard(websocket)


async def publish(event: dict[str, Any]) -> None:
    for websocket in sockets:
        await websocket.send_json(event)


async def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    app = Starlette(routes=[WebSocketRoute("/", handle)])
    server = uvicorn.Server(
        uvicorn.Config(app, log_level="warning", ws_per_message_deflate=False, lifespan="off")
    )
    serving = asyncio.create_task(server.serve([listener]))
    announce(listener.getsockname()[1])
    await obey(publish)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    asyncio.run(main())
