"""socketify (uWebSockets): subscribe, and `publish` to the topic."""

import asyncio
import json
from typing import Any

from socketify import App, AppListenOptions, OpCode

from benchmarks.peers.servers.speaker import announce, obey

app = App()
speaking: list[asyncio.Task[None]] = []


def opened(ws: Any) -> None:
    ws.subscribe("events")


async def publish(event: dict[str, Any]) -> None:
    app.publish("events", json.dumps(event, separators=(",", ":")), OpCode.TEXT)


def listening(config: Any) -> None:
    announce(config.port)
    speaking.append(app.loop.loop.create_task(obey(publish)))


app.ws(
    "/",
    {
        "open": opened,
        "max_backpressure": 512 * 1024 * 1024,
        "idle_timeout": 120,
    },
)
app.listen(AppListenOptions(port=0, host="127.0.0.1"), listening)
app.run()
