"""What a real server must not let out: its token, and the secrets of runs."""

from __future__ import annotations

import asyncio
import signal
import socket

from ..cli.conftest import Cli
from .caller import calling, outputs

PASSWORD = "correct-horse-battery-staple"


async def test_token_and_secrets_are_in_no_event_no_log_and_no_childs_environment(
    house: Cli,
) -> None:
    token = "the-token-of-the-environment"
    server = house.serve(house.project, AOSUI_TOKEN=token)
    async with calling(server) as at:
        (project,) = await at.projects()
        viewer = await at.viewer(project)
        begun = await at.start(project, "faults:login", password=PASSWORD)
        run = await viewer.state(begun["runId"])
        assert run["error"]["code"] == "wrongPassword"
        assert run["params"] == {"password": "•••"}
        environment = "".join(outputs(viewer.events, begun["runId"]))
        assert f"HOME={house.home}" in environment
        assert "AOSUI_TOKEN" not in environment
        status, _ = await at.http("GET", f"projects?token={token}&password={PASSWORD}")
        assert status == 200
        with socket.create_connection(("127.0.0.1", server.port)) as line:
            line.sendall(f"GET /?password={PASSWORD}\x01 HTTP/1.1\r\n\r\n".encode())
            assert b" 400 " in await asyncio.to_thread(line.recv, 1000)
        said = "".join(viewer.texts)
        server.send(signal.SIGKILL)
        await asyncio.to_thread(server.wait)
    said += server.stderr.rest()
    assert "run ended" in said
    files = [path for path in house.state.rglob("*") if path.is_file()]
    stored = b"".join(path.read_bytes() for path in files if path.parent.name != "servers")
    assert begun["runId"].encode() in stored
    for secret in (token, PASSWORD):
        assert secret not in said
        assert secret.encode() not in stored
