"""`python -m tests.watched_server`: a loop with a watchdog, to be stopped and continued."""

from __future__ import annotations

import asyncio
import logging
import sys
import time

from aosui.executors import Executors
from aosui.lag import LagMeter
from aosui.watchdog import Watchdog


async def main() -> None:
    logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
    meter = LagMeter()
    meter.start()
    watchdog = Watchdog(meter, Executors())
    watchdog.start()
    print("watching", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    beats = meter.beats
    while meter.beats < beats + 20:
        await asyncio.sleep(0.01)
    print("went on", flush=True)
    time.sleep(1.0)  # noqa: ASYNC251 - so that it is seen that it watches
    watchdog.stop()
    print("ended", flush=True)


asyncio.run(main())
