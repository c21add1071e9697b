"""Whatever bytes come in, the server refuses them in words and goes on."""

from __future__ import annotations

import asyncio
import random

import pytest

from .conftest import MakeSite
from .support import BEARER, TOKEN, Scripted, Site, eventually
from .test_websocket import wire

CHARACTERS = bytes(range(1, 10)) + bytes(range(14, 256))
"""What may be in a header's value: all but NUL and what ends a line."""
HEADERS = [
    "Host",
    "Origin",
    "Authorization",
    "Cookie",
    "Sec-Fetch-Site",
    "Sec-WebSocket-Protocol",
    "If-None-Match",
    "Content-Type",
    "Content-Length",
    "X-Forwarded-Host",
]
PATHS = ["/", "/health", "/ws", "/api/projects", "/api/projects/{id}/events", "/api/session"]


@pytest.fixture
async def site(make_site: MakeSite, caplog: pytest.LogCaptureFixture) -> Site:
    caplog.set_level("INFO")
    return await make_site(Scripted())


def words(chance: random.Random, size: int = 30) -> bytes:
    return bytes(chance.choices(CHARACTERS, k=chance.randrange(size)))


async def test_in_a_head(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(11)
    statuses = set()
    for _ in range(400):
        headers = {
            "Host": b"127.0.0.1:%d" % site.port,
            "Authorization": b"Bearer " + TOKEN.encode(),
        }
        for name in chance.sample(HEADERS, chance.randrange(1, 4)):
            headers[name] = chance.choice([words(chance), headers.get(name, b"") + words(chance)])
        path = chance.choice(PATHS).format(id=site.id).encode()
        query = (
            b"?" + bytes(b for b in words(chance) if b not in b" #")
            if chance.random() < 0.5
            else b""
        )
        method = chance.choice([b"GET", b"POST", b"DELETE", b"OPTIONS"])
        head = b"%b %b%b HTTP/1.1\r\n" % (method, path, query)
        head += b"".join(b"%b: %b\r\n" % (name.encode(), value) for name, value in headers.items())
        reply = await site.raw_bytes(head + b"\r\n")
        statuses.add(reply.status)
    assert statuses >= {200, 400, 403}
    assert not {status for status in statuses if status >= 500}
    assert "internal" not in caplog.text


async def test_in_the_query_of_a_handshake(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(12)
    for _ in range(100):
        name = chance.choice(["projectId", "since", "epoch", "clientId"])
        raw = words(chance)
        value = "".join(f"%{byte:02x}" for byte in raw)
        async with wire(site, **{name: value}) as line:
            opcode, _ = await line.frame()
            assert opcode == 1
    assert "internal" not in caplog.text


async def test_in_frames(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(13)
    start = b'{"type":"run.start","projectId":"%b","id":"1","workflow":' % site.id.encode()
    for _ in range(100):
        async with wire(site) as line:
            for _ in range(chance.randrange(1, 10)):
                payload = chance.choice([chance.randbytes(20), start + chance.randbytes(5), b"{}"])
                line.send(chance.choice([0x81, 0x81, 0x81, chance.randrange(256)]), payload)
            await asyncio.sleep(0)
    await eventually(lambda: site.registry.connection_count() == 0)
    assert "internal" not in caplog.text
    socket = await site.connect(headers=BEARER)
    await socket.handshake()
