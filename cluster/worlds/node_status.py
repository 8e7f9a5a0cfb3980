"""How a node is, in a few figures."""

import asyncio
import os
import sys
import traceback
from dataclasses import asdict
from time import monotonic_ns
from typing import Any

import psutil

from cluster.worlds.host import Host
from workers.host.clock.base import Clock
from workers.host.trace import Delivered, Ran
from workers.node import Node

# Later than this on the wall counts as an overrun: less than what people look at, more than what a
# timer may be off.
OVERRUN_WALL_NS = 1_000_000
LOOKS = 5  # at a clock: whoever loses the processor within one has not lost it in all


def activity(node: Node) -> dict[str, int]:
    """What a node is busy with now: tasks of its event loop, and calls without an answer. And how
    many dispatches it has sent so far that needed no message.
    """
    calls, ranks = node.endpoint.outgoing.in_flight(), node.ranks
    if ranks is None:
        return {"tasks": len(asyncio.all_tasks()), "calls": calls, "near": 0}
    calls += ranks.num_open
    return {"tasks": len(asyncio.all_tasks()), "calls": calls, "near": ranks.num_sent}


def lateness(node: Node) -> list[tuple[str, int]]:
    """(request id, how late) of every run and delivery that a node's trace has."""
    return [
        (record.request_id if isinstance(record, Delivered) else "", record.late_ns)
        for record in node.trace.records
        if isinstance(record, Delivered | Ran)
    ]


def node_status(node: Node, host: Host, dilation: float) -> dict[str, Any]:
    """Of a node of a live world.

    pid, resident_bytes   of its process        tasks, calls   under way in its event loop
    runs        runs and deliveries that its trace still has
    overruns    those of them that came more than OVERRUN_WALL_NS late, on the wall
    clock       how this machine's clock is corrected (`Correction`); None: it is the cluster's own
    """
    late_ns, now = [late for _, late in lateness(node)], activity(node)
    correction = host.correction()
    return {
        "pid": os.getpid(),
        "resident_bytes": psutil.Process().memory_info().rss,
        "tasks": now["tasks"],
        "calls": now["calls"],
        "runs": len(late_ns),
        "overruns": sum(late * dilation > OVERRUN_WALL_NS for late in late_ns),
        "clock": None if correction is None else asdict(correction),
    }


def printed(_: str, error: BaseException) -> None:
    """What nobody expected, on stderr."""
    traceback.print_exception(error, file=sys.stderr)


def wall_between(clock: Clock) -> tuple[int, int, int]:
    """See `Seat.wall`."""
    looks = [(monotonic_ns(), clock.wall_now(), monotonic_ns()) for _ in range(LOOKS)]
    return min(looks, key=lambda look: look[2] - look[0])
