"""A closed queueing network of flash, event by event: what the emulator is compared with.

So many requests are always on their way. Each goes to a plane drawn at random, waits its turn
there, is sensed, waits for its channel's bus in the order in which pages come ready, crosses it,
and another takes its place. Nothing here is the emulator's: it reserves time in the order of
asking, this goes from event to event.
"""

import heapq
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
    waiting, sensing = [0] * network.planes, [False] * network.planes
    ready, moving = [0] * network.channels, [False] * network.channels
    events: list[tuple[float, bool, int]] = []
    done, since_ns, now_ns = 0, 0.0, 0.0

    def ask() -> None:
        plane = drawn.pop()
        waiting[plane] += 1
        sense(plane)

    def sense(plane: int) -> None:
        if waiting[plane] and not sensing[plane]:
            sensing[plane] = True
            heapq.heappush(events, (now_ns + network.sense_ns, True, plane))

    def move(channel: int) -> None:
        if ready[channel] and not moving[channel]:
            moving[channel] = True
            heapq.heappush(events, (now_ns + network.turn_ns, False, channel))

    for _ in range(in_flight):
        ask()
    while done < num:
        now_ns, is_plane, where = heapq.heappop(events)
        if is_plane:
            sensing[where] = False
            waiting[where] -= 1
            ready[where % network.channels] += 1
            sense(where)
            move(where % network.channels)
            continue
        moving[where] = False
        ready[where] -= 1
        done += 1
        if done == num // 4:
            since_ns = now_ns
        ask()
        move(where)
    return (num - num // 4) / (now_ns - since_ns)
