"""
A real server for the tests of the JavaScript client: `serve.py PORT LOG DORMANT DIR ...`.

Says where it listens, and the ids of its projects, as one line of JSON. SIGTERM, or the end of its
standard input, ends it cleanly.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Sequence

from aiohttp import web

import aosui

TOKEN = "a-token-for-tests-only"


class Scripted:
    """Workflows whose every step is an input, so that a test says when each happens."""

    api_version = 1

    async def workflows(self, project: aosui.Project) -> Sequence[aosui.Workflow]:
        return [
            aosui.Workflow("echo", params=[aosui.Param("greeting", default="hello")]),
            aosui.Workflow("count", params=[aosui.Param("lines", type="integer")]),
            aosui.Workflow("ask"),
            aosui.Workflow("fail"),
        ]

    async def execute(self, run: aosui.Run, channel: aosui.ProjectChannel) -> object:
        match run.workflow:
            case "echo":
                await channel.output(f"{run.params['greeting']} {channel.project.name}\n")
                said = 0
                async for text in channel.inputs():
                    if text == "end":
                        break
                    said += 1
                    await channel.output(f"{text}\n")
                return {"said": said}
            case "count":
                for number in range(run.params["lines"]):
                    await channel.output(f"{number}\n")
                    await channel.progress(number + 1, run.params["lines"])
                    if number % 100 == 99:
                        await asyncio.sleep(0.01)
                return None
            case "ask":
                sure = aosui.Prompt("sure", "Are you sure?", options=["yes", "no"])
                return dict(await channel.ask(sure))
        raise aosui.ExecutorError("no luck", code="noLuck", retryable=True)


async def serve(port: int, log: str, dormant: float, folders: Sequence[str]) -> None:
    kept = aosui.MemoryLog() if log == "memory" else aosui.SqliteLog(log)
    app = aosui.create_app(
        token=TOKEN,
        projects=folders,
        roots=folders,
        executors={"scripted": Scripted()},
        log=kept,
        dormant_after=dormant,
        allowed_hosts=["127.0.0.1"],  # with any port: tests come through lines of their own
    )
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    bound = runner.addresses[0][1]
    ids = [project.id for project in aosui.get_registry(app)]
    sys.stdout.write(json.dumps({"port": bound, "projects": ids}) + "\n")
    sys.stdout.flush()
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, ended.set)
    loop.add_reader(sys.stdin, ended.set)
    await ended.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]), sys.argv[4:]))
