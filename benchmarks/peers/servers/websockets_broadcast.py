"""websockets: `broadcast`."""

import asyncio
import json
from typing import Any

from websockets.asyncio.server import ServerConnection, broadcast, serve

from benchmarks.peers.servers.speaker import announce, obey

connections: set[ServerConnection] = set()


async def handle(connection: ServerConnection) -> None:
    connections.add(connection)
    try:
        await connection.wait_closed()
    finally:
        connections.discard(connection)


async def publish(event: dict[str, Any]) -> None:
    broadcast(connections, json.dumps(event, separators=(",", ":")))


async def main() -> None:
    async with serve(handle, "127.0.0.1", 0, compression=None, backlog=4096) as server:
        announce(server.sockets[0].getsockname()[1])
        await obey(publish)


if __name__ == "__main__":
    asyncio.run(main())
