"""The cases about what merely stands there: other projects, memory, reconnects, starts, imports."""

from __future__ import annotations

import asyncio
import os
import resource
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from aosui import SqliteLog
from benchmarks.client import Client
from benchmarks.instructions import instructions
from benchmarks.peers import PEERS, Peer, install
from benchmarks.tables import Found, Table, interleaved
from benchmarks.target import PeerUnderLoad, Product, Target, Work

__all__ = ["beside", "capacity", "imports", "memory", "start", "storm"]

MIB = 1024 * 1024


def beside(rounds: int, quick: bool) -> Found:
    """What an event costs beside 10,000 idle projects and 100 busy ones."""
    idle, busy = (20, 2) if quick else (10_000, 100)
    flood = Work("flood", 1, 2000 if quick else 50_000)
    lone = Work("lone", 1, 10 if quick else 50, 10)
    works = {"saturated": flood, "lone": lone}
    samples: dict[str, dict[str, list[float]]] = {name: {} for name in works}
    with Product("SQLite") as alone, Product("SQLite") as crowded:
        crowded.server.ask(f"projects {idle}")
        for _ in range(1 if quick else 10):
            for name, work in works.items():
                for kind, server in (("alone", alone), ("idle", crowded)):
                    cost = server.measure(work).per_event
                    samples[name].setdefault(kind, []).append(cost)
    shares = []
    with Product("SQLite") as server:
        server.server.ask(f"busy {busy} 10")
        for _ in range(rounds):
            before, began = server.server.cpu(), time.monotonic()
            time.sleep(0.5)
            shares.append((server.server.cpu() - before) / (time.monotonic() - began))
            measure = server.measure(flood)
            background = shares[-1] * measure.got.seconds * 1e6 / flood.count
            samples["saturated"].setdefault("busy", []).append(measure.per_event - background)
    found = Found()
    rows = []
    for name, kinds in samples.items():
        texts = {kind: found.add(f"{name} {kind}", kinds[kind]).text() for kind in kinds}
        pairs = zip(kinds["idle"], kinds["alone"], strict=True)
        ratio = found.add(f"{name} idle / alone", [one / other for one, other in pairs])
        rows.append([name, texts["alone"], texts["idle"], ratio.text(), texts.get("busy", "")])
    share = found.add("share of a core of the busy ones", shares)
    found.tables.append(
        Table(
            f"µs of CPU an event, SQLite log, one viewer; the {busy} busy projects, 100 events/s"
            f" each, take {share.median:.2f} of a core, which is subtracted",
            ["", "alone", f"beside {idle:,} idle", "idle / alone", f"beside {busy:,} busy"],
            rows,
        )
    )
    counts = {others: instructions(others, 20 if quick else 200, 10) for others in (0, idle)}
    found.tables.append(
        Table(
            "Instructions of Python a lone event, SQLite log, one viewer",
            ["", "instructions"],
            [
                ["alone", found.add("instructions alone", [counts[0]]).text()],
                [f"beside {idle:,} idle", found.add("instructions idle", [counts[idle]]).text()],
            ],
        )
    )
    return found


def capacity(rounds: int, quick: bool) -> Found:
    """More and more projects in which something goes on, each said ten lines a second."""
    sizes, viewers, seconds = ((2, 4), 3, 0.5) if quick else ((50, 100, 200, 400), 3, 4.0)

    def once(projects: int) -> dict[str, float]:
        with Product("SQLite") as server:
            first, *others = server.server.ask(f"busy {projects} 100").split()
            with Client(
                server.server.port,
                server.dialect_of(first),
                projects * viewers,
                paths=[server.dialect_of(other).path for other in others],
            ) as client:
                client.ready()
                time.sleep(0.5)
                before, began = server.server.cpu(), time.monotonic()
                time.sleep(seconds)
                share = (server.server.cpu() - before) / (time.monotonic() - began)
                got = client.stop()
        return {
            "deliveries": got.messages / got.seconds,
            "share": share,
            "p50": got.p50,
            "p99": got.p99,
        }

    samples = interleaved(rounds, {size: partial(once, size) for size in sizes})
    found = Found()
    rows = []
    for size, values in samples.items():
        figures = {name: found.add(f"{name} {size}", values[name]) for name in values}
        rows.append(
            [
                f"{size:,} projects",
                figures["deliveries"].text(),
                figures["share"].text(100),
                figures["p50"].text(1000),
                figures["p99"].text(1000),
            ]
        )
    found.tables.append(
        Table(
            f"Projects that are said ten lines a second each, {viewers} viewers each, SQLite log",
            ["", "deliveries/s", "% of a core", "p50, ms", "p99, ms"],
            rows,
        )
    )
    return found


def storm(rounds: int, quick: bool) -> Found:
    """A thousand viewers reconnect at once to a project with 100 runs."""
    viewers, runs = (20, 5) if quick else (1000, 100)

    def connect(target: Target) -> dict[str, float]:
        before = target.server.cpu()
        with Client(target.server.port, target.dialect, viewers, together=viewers) as client:
            seconds = client.ready()
            cpu = target.server.cpu() - before
            client.stop()
        return {"cpu": cpu, "seconds": seconds}

    def handshakes(peer: Peer) -> dict[str, float]:
        with PeerUnderLoad(peer) as server:
            return connect(server)

    def once(*, live: bool) -> dict[str, float]:
        with Product("SQLite") as server:
            server.server.ask(f"waiting {runs}")
            if live:
                server.prepare(Work("lone", 0, 1_000_000, 10))
                server.server.tell("go")
                time.sleep(0.2)
            return connect(server)

    measures = {
        "quiet": partial(once, live=False),
        "beside 100 events/s": partial(once, live=True),
    }
    [bare] = [peer for peer in PEERS if peer.program == "aiohttp_loop"]
    if not quick and not install([bare]):
        measures["aiohttp alone, no snapshot"] = partial(handshakes, bare)
    samples = interleaved(rounds, measures)
    found = Found()
    rows = []
    for name, values in samples.items():
        rows.append(
            [
                name,
                found.add(f"{name}: cpu", values["cpu"]).text(),
                found.add(f"{name}: seconds", values["seconds"]).text(),
            ]
        )
    found.tables.append(
        Table(
            f"{viewers:,} connections at once, project with {runs} active runs",
            ["", "s of CPU in all", "s until all are synced"],
            rows,
        )
    )
    return found


def memory(rounds: int, quick: bool) -> Found:
    """What an idle connection and an idle project keep in memory."""
    connections, projects = (50, 50) if quick else (2000, 2000)

    def once(log: str) -> dict[str, float]:
        with Product(log) as server:
            with Client(server.server.port, server.dialect, 100) as client:
                client.ready()
                client.stop()
            before = server.server.memory()
            with Client(server.server.port, server.dialect, connections) as client:
                client.ready()
                connected = server.server.memory()
                client.stop()
        with Product(log) as server:
            server.server.ask(f"projects {projects // 10}")
            empty = server.server.memory()
            server.server.ask(f"projects {projects}")
            opened = server.server.memory()
        return {
            "connection": (connected - before) / connections,
            "project": (opened - empty) / projects,
        }

    samples = interleaved(
        max(1, rounds - 1), {log: partial(once, log) for log in ("memory", "SQLite")}
    )
    found = Found()
    rows = [
        [
            f"{log} log",
            found.add(f"{log}: connection", values["connection"]).text(),
            found.add(f"{log}: project", values["project"]).text(),
        ]
        for log, values in samples.items()
    ]
    found.tables.append(
        Table(
            "Bytes of resident memory, measured from outside",
            ["", "an idle connection", "an idle project"],
            rows,
        )
    )
    return found


async def _fill(path: Path, size: int) -> None:
    """Store `size` bytes of events of the project that `aosui serve` will open."""
    from aosui.registry import project_id_of

    log = SqliteLog(path)
    project_id = project_id_of(path.parent.resolve())
    position = await log.open(project_id, lambda *_: None)
    entry = b'{"type":"run.output","seq":%d,"text":"' + b"x" * 600 + b'"}'
    seq = position.seq
    while size > 0:
        entries = [entry % (seq + number) for number in range(1, 501)]
        await log.append(project_id, seq, entries, (), {}, {})
        seq += len(entries)
        size -= sum(map(len, entries))
    await log.close()


def start(rounds: int, quick: bool) -> Found:
    """How long after its start `aosui serve` answers, by what its log keeps."""

    def once(kept: int) -> dict[str, float]:
        with tempfile.TemporaryDirectory(prefix="aosui-bench-") as directory:
            path = Path(directory) / "log.db"
            asyncio.run(_fill(path, kept))
            began = time.monotonic()
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "aosui", "serve", directory, "--port", "0"),
                    *("--log", str(path), "--token", "a-token-for-benchmarks"),
                ],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "XDG_STATE_HOME": directory, "XDG_CONFIG_HOME": directory},
            )
            assert process.stdout is not None
            url = process.stdout.readline().decode().split(" at ")[1].split("#")[0]
            try:
                with urlopen(f"{url}health", timeout=10) as reply:
                    reply.read()
            except URLError as error:
                raise RuntimeError("aosui serve does not answer") from error
            seconds = time.monotonic() - began
            process.terminate()
            process.communicate()
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
            return {"seconds": seconds, "cpu": cpu}

    sizes = (0, 1) if quick else (0, 16, 64)
    samples = interleaved(rounds, {size: partial(once, size * MIB) for size in sizes})
    found = Found()
    rows = [
        [
            f"{size} MiB of kept events",
            found.add(f"{size} MiB: seconds", values["seconds"]).text(),
            found.add(f"{size} MiB: cpu", values["cpu"]).text(),
        ]
        for size, values in samples.items()
    ]
    found.tables.append(
        Table("`aosui serve`", ["", "s until it answers", "s of CPU until it has stopped"], rows)
    )
    return found


def imports(rounds: int, quick: bool) -> Found:
    """How long the imports take."""
    programs = {
        "nothing": "pass",
        "`import aosui`": "import aosui",
        "of that, asyncio, attrs and msgspec": "import asyncio, attrs, msgspec",
        "`aosui.setup`, the server": "import aosui; aosui.setup",
        "of that, `aiohttp.web`": "import aiohttp.web",
    }

    def once(program: str) -> dict[str, float]:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.monotonic()
        subprocess.run([sys.executable, "-c", program], check=True)
        seconds = time.monotonic() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
        return {"seconds": seconds, "cpu": cpu}

    samples = interleaved(
        rounds if quick else rounds * 3,
        {name: partial(once, program) for name, program in programs.items()},
    )
    found = Found()
    nothing = samples["nothing"]
    rows = []
    for name in list(programs)[1:]:
        row = [name]
        for kind in ("seconds", "cpu"):
            pairs = zip(samples[name][kind], nothing[kind], strict=True)
            one = found.add(f"{name}: {kind}", [with_it - bare for with_it, bare in pairs])
            row.append(one.text(1000))
        rows.append(row)
    found.tables.append(
        Table("ms more than a Python that imports nothing", ["", "by the clock", "of CPU"], rows)
    )
    return found
