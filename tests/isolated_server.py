"""`python -m tests.isolated_server ROOT`: a server to kill, with a run that has children."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from .floor import laid, point


async def main() -> None:
    options = {"b": {"isolation": "process"}}
    async with laid(
        Path(sys.argv[1]), [point("b", "tests.both_ways:Behaviours")], options
    ) as floor:
        pid = (await floor.run("b:tell_pid"))["result"]
        run_id = await floor.start("b:have_stubborn_children")
        children = await floor.until(lambda event: event.get("name") == "b.children")
        print(json.dumps([pid, *children["data"]]), flush=True)
        await floor.ended(run_id)


asyncio.run(main())
