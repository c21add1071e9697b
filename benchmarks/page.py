"""Put results into `docs/performance.md`: its tables and its plots."""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Mapping
from typing import Any

from benchmarks.machine import HERE
from benchmarks.peers import REFERENCE
from benchmarks.svg import bars, lines
from benchmarks.tables import Table
from benchmarks.target import Bare

__all__ = ["update"]

DOCS = HERE.parent / "docs"
PICTURES = DOCS / "performance"
OURS = ("aosui, memory log", "aosui, SQLite log")
DRAWN = (OURS[1], REFERENCE.name, Bare.NAMES[False])
"""Who has a line in the plot of the fan-out."""


def update(results: Mapping[str, Any]) -> None:
    """
    Replace what is between `<!-- case NAME -->` and `<!-- end -->` of each case that was run.

    The results themselves are kept in `docs/performance/results.json`, case by case.
    """
    PICTURES.mkdir(exist_ok=True)
    kept_path = PICTURES / "results.json"
    kept = json.loads(kept_path.read_text()) if kept_path.exists() else {}
    for name, case in results["cases"].items():
        kept[name] = {"machine": results["machine"], **case}
    kept_path.write_text(json.dumps(kept, indent=1) + "\n")
    page = DOCS / "performance.md"
    text = page.read_text()
    for name, case in kept.items():
        block = re.compile(rf"(<!-- case {name} -->\n).*?(<!-- end -->)", re.DOTALL)
        machine = case["machine"]
        tables = "\n\n".join(
            Table(table["title"], table["columns"], table["rows"]).markdown()
            for table in case["tables"]
        )
        note = (
            f"{machine['at']}, {machine['cores']} cores ({machine['processor']}), Python"
            f" {machine['python']}, {case['rounds']} rounds; load of the machine before the run"
            f" {machine['load'][0]}, after this case {case['load']}."
        )
        text = block.sub(lambda found: f"{found[1]}{tables}\n\n{note}\n{found[2]}", text)  # noqa: B023
    page.write_text(text)
    _draw(kept)


def _draw(kept: Mapping[str, Any]) -> None:
    if "peers" in kept:
        samples = kept["peers"]["samples"]
        for mode, title in {"flood": "Saturated", "lone": "A lone event"}.items():
            column = f": {mode} 1000"
            values = {
                name.removesuffix(column).replace("`", ""): statistics.median(values)
                for name, values in samples.items()
                if name.endswith(column)
            }
            picture = bars(
                f"{title} to 1,000 viewers: CPU of the server a delivery", "µs", values, OURS
            )
            (PICTURES / f"peers-{mode}.svg").write_text(picture)
    if "capacity" in kept:
        shares = [
            (float(name.split()[1]), statistics.median(values) * 100)
            for name, values in kept["capacity"]["samples"].items()
            if name.startswith("share ")
        ]
        picture = lines(
            "Projects with ten lines a second each, 3 viewers each: what the server needs",
            "projects",
            "% of a core",
            {"aosui, SQLite log": shares},
        )
        (PICTURES / "capacity.svg").write_text(picture)
    if "start" in kept:
        kept_mib = {
            name.split()[0]: statistics.median(values)
            for name, values in kept["start"]["samples"].items()
            if name.endswith("seconds")
        }
        picture = bars(
            "aosui serve: until it answers, by what its log keeps",
            "s",
            {f"{size} MiB": seconds for size, seconds in kept_mib.items()},
            (),
        )
        (PICTURES / "start.svg").write_text(picture)
    if "fan-out" in kept:
        samples = kept["fan-out"]["samples"]
        series: dict[str, list[tuple[float, float]]] = {}
        for name, values in samples.items():
            server, _, cell = name.partition(": ")
            mode, viewers = cell.split()
            if mode in ("lone", "flood") and server in DRAWN:
                key = f"{server.replace('`', '')}, {mode}"
                series.setdefault(key, []).append((int(viewers), statistics.median(values)))
        picture = lines("What a delivery costs, by viewers", "viewers", "µs of CPU", series)
        (PICTURES / "fan-out.svg").write_text(picture)
