"""`python -m tests.crash`: the crash harness by hand."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from .harness import Harness, Report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--break", dest="broken", choices=["acknowledge-early", "drop"])
    arguments = parser.parse_args()
    print(f"seed {arguments.seed}")
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(run(Path(folder), arguments))
    print(report)
    for violation in report.violations[:20]:
        print(" ", violation)
    sys.exit(1 if report.violations else 0)


async def run(folder: Path, arguments: argparse.Namespace) -> Report:
    harness = Harness(folder, seed=arguments.seed, broken=arguments.broken)
    return await harness.run(arguments.rounds)


main()
