"""Any bytes at all, sent to a real server: it refuses them, and nothing else happens."""

from __future__ import annotations

import json
import signal
import socket
import struct
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ..cli.conftest import Cli, Server
from ..support import Frame

UPGRADE = """Connection: Upgrade\r
Upgrade: websocket\r
Sec-WebSocket-Version: 13\r
Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r
Sec-WebSocket-Protocol: aosui.v1"""
PLACES = ["raw", "path", "header", "credentials", "body", "frames", "text", "command"]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
FIELDS: dict[str, list[Any]] = {
    "type": ["ping", "run.start", "run.cancel", "run.retry", "run.input", "question.answer"],
    "id": ["1", "x" * 200],
    "workflow": ["talk:say", "talk:", ":", "faults:flood"],
    "params": [{}, {"times": -1}, {"times": 1e308}, {"text": "\0"}],
    "runId": ["", "r", "../x"],
    "questionId": ["q"],
    "answers": [{}, {"p": "v"}],
    "text": ["\0", "x"],
    "nonce": [1, "x"],
}
commands = st.fixed_dictionaries(
    {}, optional={name: st.sampled_from(good) | json_values for name, good in FIELDS.items()}
)


def text_frame(payload: bytes) -> bytes:
    """Make a masked frame of one text."""
    return b"\x81" + struct.pack("!BHI", 0x80 | 126, len(payload), 0) + payload


def packets(server: Server, project_id: str, place: str, data: bytes, command: Frame) -> bytes:
    """Put bytes into a place of what a client sends."""
    good = [f"Host: 127.0.0.1:{server.port}", f"Authorization: Bearer {server.token}"]

    def head(line: bytes, *headers: str) -> bytes:
        return b"\r\n".join([line, *(header.encode() for header in [*good, *headers]), b"", b""])

    handshake = head(f"GET /ws?projectId={project_id} HTTP/1.1".encode(), UPGRADE)
    match place:
        case "raw":
            return data
        case "path":
            return head(b"GET /" + data + b" HTTP/1.1")
        case "header":
            return head(b"GET /api/projects HTTP/1.1\r\nX: " + data)
        case "credentials":
            good.pop()
            return head(b"GET /api/projects HTTP/1.1\r\nAuthorization: Bearer " + data)
        case "body":
            line = f"POST /api/projects/{project_id}/runs HTTP/1.1".encode()
            size = f"Content-Length: {len(data)}"
            return head(line, "Content-Type: application/json", size) + data
        case "frames":
            return handshake + data
        case "text":
            return handshake + text_frame(data)
    frame = json.dumps({"projectId": project_id, **command})
    return handshake + text_frame(frame.encode())


def ask(server: Server, path: str) -> bytes:
    """Ask for something good, over a connection of its own; returns the whole answer."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
        request = (
            f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
            f"Authorization: Bearer {server.token}\r\nConnection: close\r\n\r\n"
        )
        line.sendall(request.encode())
        return b"".join(chunks(line))


def chunks(line: socket.socket) -> Iterator[bytes]:
    while chunk := line.recv(65536):
        yield chunk


def test_no_bytes_harm_a_server(house: Cli) -> None:
    server = house.serve(house.project)
    answer = json.loads(ask(server, "/api/projects").partition(b"\r\n\r\n")[2])
    project_id = answer["projects"][0]["projectId"]

    @settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from(PLACES), st.binary(max_size=300), commands)
    def send(place: str, data: bytes, command: Frame) -> None:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as line:
            with suppress(ConnectionError):
                line.sendall(packets(server, project_id, place, data, command))
            assert ask(server, "/health").endswith(b'{"status":"ok"}')

    send()
    server.send(signal.SIGTERM)
    assert server.wait() == 0
    said = server.stderr.rest()
    assert "UNKNOWN / 400" in said
    assert "internal" not in said
    assert " error " not in said
    assert "Traceback" not in said
