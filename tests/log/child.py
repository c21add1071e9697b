"""
A process that appends until it is killed: `python child.py PATH SYNCHRONOUS`.

It prints its epoch, then the head after each batch that was delivered.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import cast

from aosui.log import StoredRun
from aosui.log.logfile import Synchronous
from aosui.log.sqlite import SqliteLog


def take(entries: Sequence[bytes], runs: Sequence[StoredRun], first_seq: int) -> None:
    print(int(entries[-1]), flush=True)


async def main(path: str, synchronous: str) -> None:
    log = SqliteLog(path, synchronous=cast("Synchronous", synchronous))
    position = await log.open("p", take)
    print(position.epoch, flush=True)
    seq = position.seq
    while True:
        size = 1 + seq % 50
        entries = [b"%d" % (seq + number) for number in range(1, size + 1)]
        run = StoredRun("run", False, b'{"seq":%d,"firstSeq":1}' % (seq + size))
        await log.append("p", seq, entries, [run], {}, {})
        seq += size


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
