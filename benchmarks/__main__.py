"""`python -m benchmarks [case ...]`: run cases, print their tables, keep their results."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks import delivery, standing
from benchmarks.machine import HERE, describe
from benchmarks.tables import Found

__all__ = ["CASES", "main", "run"]

CASES: Mapping[str, Callable[[int, bool], Found]] = {
    "fan-out": delivery.fan_out,
    "channel": delivery.channel,
    "latency": delivery.latency,
    "fairness": delivery.fairness,
    "beside": standing.beside,
    "capacity": standing.capacity,
    "storm": standing.storm,
    "memory": standing.memory,
    "start": standing.start,
    "imports": standing.imports,
    "peers": delivery.peers,
}
RESULTS = HERE / "results"
ROUNDS = 3


def run(names: Sequence[str], *, rounds: int = ROUNDS, quick: bool = False) -> dict[str, Any]:
    """Run cases and print what they find; returns the results as they are kept."""
    machine = describe()
    cases: dict[str, Any] = {}
    print(", ".join(f"{name} {value}" for name, value in machine.items()))
    for name in names:
        began = time.monotonic()
        found = CASES[name](rounds, quick)
        print(f"\n## {name} ({time.monotonic() - began:.0f} s, load {os.getloadavg()[0]:.1f})\n")
        for table in found.tables:
            print(table.markdown(), end="\n\n", flush=True)
        cases[name] = {**found.record(), "load": round(os.getloadavg()[0], 2), "rounds": rounds}
    return {"machine": machine, "cases": cases}


def main(words: Sequence[str] | None = None) -> None:
    """Read the command line, run, and write the results as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("case", nargs="*", help=f"of {', '.join(CASES)}; without any, all")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="how often each is measured")
    parser.add_argument("--quick", action="store_true", help="only see that everything works")
    parser.add_argument("--docs", action="store_true", help="put the results into docs/")
    asked = parser.parse_args(words)
    if unknown := set(asked.case) - set(CASES):
        parser.error(f"there is no case {', '.join(sorted(unknown))}")
    results = run(asked.case or list(CASES), rounds=asked.rounds, quick=asked.quick)
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y-%m-%d-%H%M%S')}.json"
    path.write_text(json.dumps(results, indent=1))
    print(f"kept in {path.relative_to(HERE.parent)}", file=sys.stderr)
    if asked.docs:
        from benchmarks.page import update

        update(results)


if __name__ == "__main__":
    main()
