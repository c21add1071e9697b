"""`Limits`: every bound of a server, each with the default that `docs/protocol.md` names."""

from __future__ import annotations

import math

from attrs import fields, frozen

__all__ = ["Limits"]

KIB = 1024
MIB = 1024 * KIB


@frozen(kw_only=True)
class Limits:
    """
    What one server takes, keeps and waits for; the table `[limits]` of `aosui.toml`.

    Sizes are bytes of JSON text or of the wire, times are seconds, all above 0. Raises TypeError
    or ValueError whose message begins with the name of the limit.
    """

    kept_bytes: int | None = None
    """Events kept of a project; None leaves it to the log (memory 8 MiB, SQLite 64 MiB)."""
    final_runs: int = 1000
    """Final runs kept of a project, whatever happens to their events."""

    runs: int = 8
    """Runs at once of a project; those that wait for an answer are not counted."""
    active_runs: int = 200
    """Active runs of a project, queued and waiting ones included."""
    active_params_bytes: int = 1 * MIB
    """Params of a project's active runs together."""
    inputs: int = 64
    """Unread texts of `run.input`, a run."""
    cancel_seconds: float = 5.0
    """What a cancelled executor has before its run is abandoned."""
    workflows_seconds: float = 5.0
    """What an executor has to list a project's workflows."""
    progress_per_second: int = 10
    """Progress events of a run; the newest wins and the last one is always sent."""

    outbox_events: int = 4096
    """Events of a project that the log has not accepted yet: past it, executors wait."""
    outbox_bytes: int = 128 * KIB
    """The same in bytes."""
    commit_seconds: float = 5.0
    """What a request waits for its events to be in the log before `logUnavailable`."""
    requests_kept: int = 10_000
    """Replies remembered of a project, so that a repeated request id acts once."""
    request_seconds: float = 600.0
    """How long they are."""

    connections_per_project: int = 1024
    connections: int = 4096
    """Connections of the whole server."""
    frame_bytes: int = 256 * KIB
    """One frame, or one body, from a client."""
    requests_per_second: int = 50
    request_burst: int = 100
    """Requests of a connection that may come at once."""
    refusals: int = 100
    """Refused frames within `refusal_seconds` after which a connection is closed."""
    refusal_seconds: float = 10.0
    ping_seconds: float = 25.0
    """A connection that is silent for this long is pinged."""
    pong_seconds: float = 10.0
    """What it then has to show that it lives."""

    replay_events: int = 10_000
    """A client further behind than this starts from a snapshot."""
    replay_bytes: int = 4 * MIB
    """The same in bytes."""
    snapshot_bytes: int = 1 * MIB
    """What a snapshot is kept near, by leaving out tails and then final runs."""
    snapshot_final_runs: int = 20
    """The newest final runs in a snapshot."""
    tail_bytes: int = 16 * KIB
    """Newest output of an active run in a snapshot."""
    ring_bytes: int = 1 * MIB
    """Recent flushes of a project kept in memory while somebody is connected."""

    connection_bytes: int = 2 * MIB
    """All that waits to be sent to one connection, the shared snapshot not counted."""
    high_water_bytes: int = 512 * KIB
    """A transport above this gets nothing more written..."""
    low_water_bytes: int = 256 * KIB
    """...until it is below this."""
    pending_replies: int = 64
    """Replies that wait behind a slow connection's events."""
    stall_seconds: float = 10.0
    """A connection above its high-water mark that takes nothing for this long is aborted."""
    send_buffer_bytes: int = 128 * KIB
    """SO_SNDBUF of a connection: what the kernel takes is not seen by the mark above."""

    def __attrs_post_init__(self) -> None:
        for limit in fields(type(self)):
            value = getattr(self, limit.name)
            if value is None and limit.default is None:
                continue
            whole = not isinstance(limit.default, float)
            if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
                raise TypeError(f"{limit.name} must be {'an integer' if whole else 'a number'}")
            if not 0 < value < math.inf:
                raise ValueError(f"{limit.name} must be above 0, not {value}")
        if self.low_water_bytes > self.high_water_bytes:
            raise ValueError("low_water_bytes must not be above high_water_bytes")
