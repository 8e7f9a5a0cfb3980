"""A closed queueing network of flash, event by event: what the emulator is compared with.

So many requests are always on their way. Each goes to a plane drawn at random, waits its turn
there, is sensed, waits for its channel's bus in the order in which pages come ready, crosses it,
and another takes its place. Nothing here is the emulator's: it reserves time in the order of
asking, this goes from event to event.
"""

import heapq
from collections import deque
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Network:
    """sense_ns, turn_ns   constant service of a plane and of a bus"""

    channels: int
    planes: int  # of all channels
    sense_ns: float
    turn_ns: float


def throughput_per_ns(network: Network, in_flight: int, num: int, seed: int) -> float:
    """Requests a nanosecond, over the last three quarters of `num`."""
    drawn = np.random.default_rng(seed).integers(0, network.planes, num + in_flight).tolist()
    waiting: list[deque[int]] = [deque() for _ in range(network.planes)]
    ready: list[deque[int]] = [deque() for _ in range(network.channels)]
    sensing, moving = [False] * network.planes, [False] * network.channels
    events: list[tuple[float, int, bool, int]] = []
    issued = done = 0
    since_ns = now_ns = 0.0

    def ask() -> None:
        nonlocal issued
        plane = drawn[issued]
        issued += 1
        waiting[plane].append(issued)
        sense(plane)

    def sense(plane: int) -> None:
        if waiting[plane] and not sensing[plane]:
            sensing[plane] = True
            heapq.heappush(events, (now_ns + network.sense_ns, len(events), True, plane))

    def move(channel: int) -> None:
        if ready[channel] and not moving[channel]:
            moving[channel] = True
            heapq.heappush(events, (now_ns + network.turn_ns, len(events), False, channel))

    for _ in range(in_flight):
        ask()
    while done < num:
        now_ns, _, is_plane, where = heapq.heappop(events)
        if is_plane:
            sensing[where] = False
            channel = where % network.channels
            ready[channel].append(waiting[where].popleft())
            sense(where)
            move(channel)
            continue
        moving[where] = False
        ready[where].popleft()
        done += 1
        if done == num // 4:
            since_ns = now_ns
        ask()
        move(where)
    return (num - num // 4) / (now_ns - since_ns)
