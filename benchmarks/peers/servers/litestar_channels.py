"""Litestar with uvicorn: the channels plugin with its backend in memory."""

import asyncio
import socket
from typing import Any

import uvicorn
from litestar import Litestar
from litestar.channels import ChannelsPlugin
from litestar.channels.backends.memory import MemoryChannelsBackend

from benchmarks.peers.servers.speaker import announce, obey

channels = ChannelsPlugin(
    backend=MemoryChannelsBackend(),
    channels=["events"],
    create_ws_route_handlers=True,
    ws_handler_base_path="/ws",
)


async def publish(event: dict[str, Any]) -> None:
    channels.publish(event, "events")


async def main() -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    app = Litestar(plugins=[channels], openapi_config=None)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws_per_message_deflate=False))
    serving = asyncio.create_task(server.serve([listener]))
    while not server.started:
        await asyncio.sleep(0.01)
    announce(listener.getsockname()[1])
    await obey(publish)
    server.should_exit = True
    await serving


if __name__ == "__main__":
    asyncio.run(main())
