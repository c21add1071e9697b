"""
nats-server with its WebSocket door: a publisher of its own speaks to it over TCP.

Only the CPU time of nats-server is counted; the publisher runs on the client's core.
"""

import asyncio
import json
import os
import shutil
import socket
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.machine import CLIENT_CORE, SERVER_CORE, on_core
from benchmarks.peers.servers.speaker import announce, obey

CONFIG = """
host: "127.0.0.1"
port: {tcp}
websocket {{ host: "127.0.0.1", port: {web}, no_tls: true }}
"""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    for _ in range(100):
        try:
            return await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await asyncio.sleep(0.05)
    raise SystemExit("nats-server does not listen")


async def main() -> None:
    os.sched_setaffinity(0, {CLIENT_CORE})
    program = shutil.which("nats-server", path=Path(sys.executable).parent)
    if program is None:
        raise SystemExit("there is no nats-server")
    tcp, web = free_port(), free_port()
    with tempfile.NamedTemporaryFile("w", suffix=".conf") as config:
        config.write(CONFIG.format(tcp=tcp, web=web))
        config.flush()
        server = await asyncio.create_subprocess_exec(
            *on_core(SERVER_CORE, program, "-c", config.name), stderr=asyncio.subprocess.DEVNULL
        )
        _, writer = await connect(tcp)
        writer.write(b'CONNECT {"verbose":false,"pedantic":false}\r\n')

        async def publish(event: dict[str, Any]) -> None:
            payload = json.dumps(event, separators=(",", ":")).encode()
            writer.write(b"PUB events %d\r\n%b\r\n" % (len(payload), payload))

        announce(web, server.pid)
        await obey(publish)
        server.kill()
        await server.wait()


if __name__ == "__main__":
    asyncio.run(main())
