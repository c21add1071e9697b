"""picows: `send` to one transport after the other."""

import asyncio
import json
from typing import Any

import picows

from benchmarks.peers.servers.speaker import announce, obey

transports: set[picows.WSTransport] = set()


class Listener(picows.WSListener):
    def on_ws_connected(self, transport: picows.WSTransport) -> None:
        transports.add(transport)

    def on_ws_disconnected(self, transport: picows.WSTransport) -> None:
        transports.discard(transport)


async def publish(event: dict[str, Any]) -> None:
    payload = json.dumps(event, separators=(",", ":")).encode()
    for transport in transports:
        transport.send(picows.WSMsgType.TEXT, payload)


async def main() -> None:
    server = await picows.ws_create_server(lambda request: Listener(), "127.0.0.1", 0, backlog=4096)
    announce(server.sockets[0].getsockname()[1])
    await obey(publish)


if __name__ == "__main__":
    asyncio.run(main())
