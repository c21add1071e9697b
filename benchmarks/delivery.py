"""The cases about delivering: fan-out, peers, the way from channel to viewer, latency, fairness."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from benchmarks.client import Client, NotDelivered
from benchmarks.peers import PEERS, REFERENCE, Peer, install
from benchmarks.server import ServerFailed
from benchmarks.tables import Figure, Found, Table, figure, interleaved
from benchmarks.target import Bare, PeerUnderLoad, Product, Target, Work

__all__ = ["channel", "fairness", "fan_out", "latency", "peers"]

LOGS = ("memory", "SQLite")
REFERENCES: dict[str, Callable[[], Target]] = {
    REFERENCE.name: partial(PeerUnderLoad, REFERENCE),
    **{name: partial(Bare, thread=thread) for thread, name in Bare.NAMES.items()},
}
"""Servers with nothing in them: in C, and in Python without and with a thread, as SQLite needs."""
MODES = {"lone": "lone", "turn": "one a turn", "flood": "saturated"}


def work(mode: str, viewers: int, *, slow: bool) -> Work:
    """Choose how many events make a measure of a fraction of a second."""
    if mode == "lone":
        # Farther apart than any server takes for one.
        return Work(mode, viewers, 30, 60 if viewers > 100 else 10, warm=3)
    if slow:
        return Work(mode, viewers, {1: 5000, 30: 1000, 100: 200}.get(viewers, 25))
    return Work(mode, viewers, {1: 50_000, 30: 20_000, 100: 10_000}.get(viewers, 3000))


def measured(target: Callable[[], Target], works: Sequence[Work]) -> dict[str, float]:
    """
    Measure work after work on a fresh server.

    Returns µs of CPU a delivery, and as `client …` the share of the time that the client was busy.
    """
    values: dict[str, float] = {}
    with target() as server:
        for one in works:
            measure = server.measure(one)
            column = f"{one.mode} {one.viewers}"
            values[column] = measure.per_delivery
            values[f"client {column}"] = measure.got.cpu / max(measure.got.seconds, 1e-6)
    return values


def fan_out(rounds: int, quick: bool) -> Found:
    """One project's events to 1, 30 and 1,000 viewers, beside bare servers in C and Python."""
    viewers = (1, 3) if quick else (1, 30, 1000)
    cells = [(mode, count) for count in viewers for mode in MODES]
    targets: dict[str, Callable[[], Mapping[str, float]]] = {
        f"aosui, {log} log": partial(
            measured, partial(Product, log), [work(*cell, slow=quick) for cell in cells]
        )
        for log in LOGS
    }
    for name, target in REFERENCES.items():
        targets[name] = partial(measured, target, [work(*cell, slow=True) for cell in cells])
    samples = interleaved(rounds, targets)
    found = Found()
    rows = []
    for mode, count in cells:
        column = f"{mode} {count}"
        figures = {
            name: found.add(f"{name}: {column}", values[column]) for name, values in samples.items()
        }
        reference = figures[REFERENCE.name].median
        rows.append(
            [
                f"{count:,} viewers, {MODES[mode]}",
                *(one.text() for one in figures.values()),
                *(f"{figures[f'aosui, {log} log'].median / reference:.2f}" for log in LOGS),
            ]
        )
    found.tables.append(
        Table(
            "µs of server CPU a delivery: median (range)",
            ["", *targets, *(f"{log} / C" for log in LOGS)],
            rows,
        )
    )
    busy = [
        [
            f"{count:,} viewers",
            *(
                found.add(f"{name}: client {count}", values[f"client flood {count}"]).text(100)
                for name, values in samples.items()
            ),
        ]
        for count in viewers
    ]
    found.tables.append(
        Table("% of the time in which the load client was busy, saturated", ["", *targets], busy)
    )
    return found


def peers(rounds: int, quick: bool, chosen: Sequence[Peer] = PEERS) -> Found:
    """The same events from other servers to the same client; takes minutes."""
    cells = [(mode, viewers) for viewers in (100, 1000) for mode in MODES]
    missing = install(chosen)
    targets: dict[str, Callable[[], Target]] = {
        f"aosui, {log} log": partial(Product, log) for log in LOGS
    }
    for peer in chosen:
        if peer.name not in missing:
            targets[peer.name] = partial(PeerUnderLoad, peer)
    samples: dict[str, dict[str, list[float]]] = {name: {} for name in targets}
    for _ in range(rounds):
        for name, target in targets.items():
            if name in missing:
                continue
            works = [work(*cell, slow=not name.startswith("aosui")) for cell in cells]
            print(f"{name} …", file=sys.stderr, flush=True)
            try:
                values = measured(target, works)
            except (ServerFailed, NotDelivered) as error:
                missing[name] = f"failed: {str(error).strip().splitlines()[-1][:120]}"
                continue
            for column, value in values.items():
                samples[name].setdefault(column, []).append(value)
    found = Found()
    reference = samples[REFERENCE.name]
    rows = []
    for name in [*targets, *(peer.name for peer in chosen if peer.name not in targets)]:
        if name in missing:
            rows.append([name, missing[name], *[""] * (len(cells) - 1)])
            continue
        row = [name]
        for mode, viewers in cells:
            column = f"{mode} {viewers}"
            one = found.add(f"{name}: {column}", samples[name][column])
            row.append(f"{one.text()} · {one.median / figure(reference[column]).median:.2f}")
        rows.append(row)
    titles = [f"{MODES[mode]}, {viewers:,}" for mode, viewers in cells]
    found.tables.append(
        Table("µs of server CPU a delivery: median (range) · ratio to C", ["server", *titles], rows)
    )
    return found


def channel(rounds: int, quick: bool) -> Found:
    """From `channel.output` to one viewer: µs of CPU an event, and events a second."""
    count = 2000 if quick else 200_000
    works = {"flood": Work("flood", 1, count), "turn": Work("turn", 1, count // 4)}

    def once(log: str) -> dict[str, float]:
        with Product(log) as server:
            values = {}
            for name, one in works.items():
                measure = server.measure(one)
                values[f"{name} cpu"] = measure.per_event
                values[f"{name} rate"] = measure.events_per_second
            return values

    def reference() -> dict[str, float]:
        with PeerUnderLoad(REFERENCE) as server:
            measure = server.measure(Work("turn", 1, count // 40))
            return {"turn cpu": measure.per_event, "turn rate": measure.events_per_second}

    def turns() -> dict[str, float]:
        began = time.process_time()
        asyncio.run(take_turns(count // 4))
        seconds = time.process_time() - began
        return {"turn cpu": seconds / (count // 4) * 1e6, "turn rate": count // 4 / seconds}

    measures: dict[str, Callable[[], dict[str, float]]] = {
        f"{log} log": partial(once, log) for log in LOGS
    }
    measures |= {REFERENCE.name: reference, "an empty turn of asyncio's loop": turns}
    samples = interleaved(rounds, measures)
    names = {"flood": ", flood", "turn": ", yields after each"}
    found = Found()
    rows = [
        [
            f"{server}{names[name] if server.endswith(' log') else ''}",
            found.add(f"{server}: {name} cpu", values[f"{name} cpu"]).text(),
            found.add(f"{server}: {name} rate", values[f"{name} rate"]).text(),
        ]
        for server, values in samples.items()
        for name in works
        if f"{name} cpu" in values
    ]
    found.tables.append(
        Table("From `channel.output` to one viewer", ["", "µs of CPU an event", "events/s"], rows)
    )
    return found


async def take_turns(count: int) -> None:
    """Do nothing but give the loop its turn."""
    for _ in range(count):
        await asyncio.sleep(0)


def latency(rounds: int, quick: bool) -> Found:
    """From before `channel.output` to the viewer's read: lone, and under load."""
    count = 20 if quick else 200

    def lone(target: Callable[[], Target]) -> dict[str, float]:
        with target() as server:
            server.measure(Work("lone", 1, 20, 10))
            got = server.measure(Work("lone", 1, count, 10)).got
            return {"p50": got.p50, "p99": got.p99}

    def loaded(log: str) -> dict[str, float]:
        with Product(log) as server:
            clients = [
                Client(server.server.port, server.dialect_of(project), 4, expect=4 * count)
                for project in server.projects
            ]
            for client, project in zip(clients, server.projects, strict=True):
                client.ready()
                server.prepare(Work("lone", 4, 4 * count, 2), project)
            server.server.tell("go")
            every = [client.got() for client in clients]
            return {name: max(getattr(got, name) for got in every) for name in ("p50", "p99")}

    measures: dict[str, Callable[[], dict[str, float]]] = {}
    for log in LOGS:
        measures[f"a lone event, {log} log"] = partial(lone, partial(Product, log))
    for name, target in REFERENCES.items():
        measures[f"a lone event, {name}"] = partial(lone, target)
    for log in LOGS:
        measures[f"4 projects × 500 events/s × 4 viewers, {log} log"] = partial(loaded, log)
    found = Found()
    rows = [
        [title, *(found.add(f"{title}: {name}", values[name]).text(1000) for name in values)]
        for title, values in interleaved(rounds, measures).items()
    ]
    found.tables.append(Table("Latency in ms", ["", "p50", "p99"], rows))
    return found


def fairness(rounds: int, quick: bool) -> Found:
    """Ticks in one project while another floods a thousand viewers."""
    viewers, flood, ticks = (3, 3000, 20) if quick else (1000, 6000, 100)

    def once(log: str, *, alone: bool) -> dict[str, float]:
        with Product(log) as server:
            port, (first, second, *_) = server.server.port, server.projects
            if alone:
                tick = Client(port, server.dialect_of(second), 1, expect=ticks)
                tick.ready()
                server.prepare(Work("lone", 1, ticks, 10), second)
                server.server.tell("go")
                got = tick.got()
                return {"p50": got.p50, "p99": got.p99, "max": got.max}
            with (
                Client(port, server.dialect_of(first), viewers, expect=flood) as many,
                Client(port, server.dialect_of(second), 1, expect=ticks) as tick,
            ):
                many.ready()
                tick.ready()
                server.prepare(Work("flood", viewers, flood), first)
                server.prepare(Work("lone", 1, ticks, 10), second)
                server.server.tell("go")
                many.got()
                got = tick.got()
            return {"p50": got.p50, "p99": got.p99, "max": got.max}

    samples = interleaved(
        rounds,
        {(log, alone): partial(once, log, alone=alone) for log in LOGS for alone in (True, False)},
    )
    found = Found()
    rows = []
    for (log, alone), values in samples.items():
        name = f"{log} log, {'alone' if alone else f'beside a flood to {viewers:,} viewers'}"
        figures: list[Figure] = [found.add(f"{name}: {key}", values[key]) for key in values]
        rows.append([name, *(one.text(1000) for one in figures)])
    found.tables.append(Table("Latency of the ticks in ms", ["", "p50", "p99", "max"], rows))
    return found
