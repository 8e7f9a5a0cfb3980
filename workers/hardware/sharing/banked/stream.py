"""A long stretch of neighbouring pages, as a whole.

It lies over all channels, banks and planes in turn, so each has its even share. One of three holds
it up, and the two others keep pace:

    bus      a page's turn after the other           while enough pages are in flight
    places   rounds of `window` pages, each a sensing and a turn long   (Little's law)
    planes   rounds of one page in each plane, each a sensing long

What it finds taken (a plane that programs, a bus that others have) holds it up besides. From idle
it ends when page after page would. One upon the other, what is left of the one before is told to
the next by a few numbers: of 1,800 ends in random mixes of streams, scattered reads and writes 4 %
were more than 5 % from those of page by page, the farthest 26 %.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from workers.hardware.sharing.banked import PS
from workers.hardware.sharing.banked.array import ReadQueue
from workers.hardware.sharing.banked.planes import Geometry, Ints

# Neighbouring pages from which on they are served as a whole: fewer cost less one by one.
STREAM_PAGES_LEAST = 512
# Rounds are put together so that there are no more: buses are taken for each.
ROUNDS_MOST = 64
# Points at which the latencies of the first pages are noted, which grow evenly.
RAMP_POINTS = 32


class Pace(NamedTuple):
    """Rounds of so many pages, a period apart; one round where the bus holds it up.

    steady_ps   latency of a page once all is under way
    ramp_ps     how much longer the last of the first `window` pages takes than the first of them
    """

    pages: int
    period_ps: int
    steady_ps: int
    ramp_ps: int


def pace(geometry: Geometry, num: int, window: int, sense_ps: int, turn_ps: int) -> Pace:
    """What holds up `num` pages of which `window` are in flight."""
    channels, planes = geometry.channels, geometry.planes
    by_places = (window - channels) * turn_ps < sense_ps * channels
    by_planes = planes * turn_ps < sense_ps * channels
    held_ps, ramp_ps = sense_ps + turn_ps, window * turn_ps // channels
    if by_planes and (not by_places or planes * held_ps < window * sense_ps):
        waited_ps = window * sense_ps // planes
        return Pace(planes, sense_ps, max(held_ps, waited_ps), waited_ps)
    if by_places:
        return Pace(window, held_ps, held_ps, ramp_ps)
    return Pace(num, 0, max(held_ps, ramp_ps), ramp_ps)


def counts_of(geometry: Geometry, start: int, num: int) -> Ints:
    """How many of `num` pages from `start` on lie in each plane."""
    whole, rest = divmod(num, geometry.planes)
    pages: Ints = np.full(geometry.planes, whole, np.int64)
    begin = start % geometry.planes
    pages[begin : begin + rest] += 1
    pages[: max(0, begin + rest - geometry.planes)] += 1
    return pages


def stream(
    queue: ReadQueue, now_ps: int, start: int, num: int, tail_bytes: int, window: int
) -> int:
    """Serve them; returns when the last is there."""
    array = queue.array
    geometry, planes, turn_ps = array.geometry, array.planes, queue.page_ps
    window = min(num, window, queue.depth)
    begin_ps, mean_ps = queue.places.take_many(now_ps, window)
    sense_ps = planes.mean_sense_ps()
    how = pace(geometry, num, window, sense_ps, turn_ps)
    if num > how.pages == window:  # rounds of places, which are had as others give them up
        begin_ps = mean_ps
    saved_ps = turn_ps - array.moved_ps(tail_bytes)
    ends = [
        _through_channel(queue, channel, start, num, begin_ps + sense_ps, how, saved_ps)
        for channel in range(geometry.channels)
    ]
    before_ps = planes.free_ps
    pages = counts_of(geometry, start, num)
    sensed_ps, retried = planes.sense_many(begin_ps, pages, num)
    end_ps = max(*ends, int(sensed_ps[pages > 0].max()) + array.moved_ps(tail_bytes))
    _keep_planes(queue, start, num, begin_ps, max(ends), window)
    _give_places(queue, start, num, window, begin_ps + sense_ps, how, ends)
    held_up_ps = before_ps[pages > 0] - begin_ps
    held_up_ps = held_up_ps[held_up_ps > how.steady_ps]
    _note(queue, num, window, how, retried, held_up_ps)
    array.cache.drop()
    return end_ps


def _through_channel(
    queue: ReadQueue, channel: int, start: int, num: int, ready_ps: int, how: Pace, saved_ps: int
) -> int:
    """Take one channel's bus for its pages of each round; returns when the last is there."""
    channels, turn_ps = queue.array.geometry.channels, queue.page_ps
    calendar, offset = queue.array.reading[channel], (channel - start) % channels
    num_rounds = -(-num // how.pages)
    together = -(-(num_rounds - 1) // (ROUNDS_MOST - 1)) if num_rounds > 1 else 1
    # The last round stands alone: the end is its.
    begins = [*range(0, num_rounds - 1, together), num_rounds - 1, num_rounds]
    end_ps = ready_ps
    for begin, after in pairwise(begins):
        last = min(num, after * how.pages)
        pages = -(-(last - offset) // channels) - -(-(begin * how.pages - offset) // channels)
        if pages > 0:
            length_ps = pages * turn_ps
            if last == num and (start + num - 1) % channels == channel:
                length_ps -= saved_ps
            end_ps = calendar.take(ready_ps + begin * how.period_ps, length_ps)
    return end_ps


def _give_places(
    queue: ReadQueue,
    start: int,
    num: int,
    window: int,
    ready_ps: int,
    how: Pace,
    ends: list[int],
) -> None:
    """Those of the last round are free when its pages are there, those that it had no pages for
    when the round's before were.
    """
    channels, turn_ps = queue.array.geometry.channels, queue.page_ps
    rounds = -(-num // how.pages)
    final = num - (rounds - 1) * how.pages if how.pages == window else window
    for channel, end_ps in enumerate(ends):
        offset = (channel - start) % channels
        pages = max(0, -(-(num - offset) // channels) - -(-(num - final - offset) // channels))
        if pages:
            queue.places.give(end_ps - (pages - 1) * turn_ps, turn_ps, pages)
        earlier = -(-(num - final - offset) // channels) - -(-(num - window - offset) // channels)
        if earlier > 0:
            before_ps = ready_ps + (rounds - 2) * how.period_ps + (pages + 1) * turn_ps
            queue.places.give(before_ps, turn_ps, earlier)


def _keep_planes(
    queue: ReadQueue, start: int, num: int, begin_ps: int, end_ps: int, window: int
) -> None:
    """No plane senses its last page sooner than that has a place: at once, or when the one `window`
    before it is there.
    """
    geometry, planes = queue.array.geometry, queue.array.planes
    last = num - 1 - (start + num - 1 - np.arange(geometry.planes)) % geometry.planes
    first_ps = begin_ps + planes.sense_ps
    gone_ps = first_ps + (last - window + 1) * ((end_ps - first_ps) / num)
    placed_ps = np.where(last < window, begin_ps, gone_ps.astype(np.int64))
    sensed_ps = np.maximum(planes.free_ps, placed_ps + planes.sense_ps)
    planes.free_ps = np.where(last >= 0, sensed_ps, planes.free_ps)


def _note(
    queue: ReadQueue, num: int, window: int, how: Pace, retried: int, held_up_ps: Ints
) -> None:
    """The first pages come one after the other, those after them all alike."""
    latencies, planes = queue.latencies, queue.array.planes
    first_ps, noted = planes.sense_ps + queue.page_ps, 0
    for point in range(RAMP_POINTS):
        here = window * (point + 1) // RAMP_POINTS - noted
        if here:
            latencies.add((first_ps + how.ramp_ps * (2 * noted + here) // (2 * window)) // PS, here)
        noted += here
    late = held_up_ps[: max(0, num - noted)]
    for waited_ps in late.tolist():
        latencies.add((waited_ps + first_ps) // PS)
    retried = min(retried, num - noted - len(late))
    if retried:
        latencies.add((how.steady_ps + planes.retry_ps) // PS, retried)
    if rest := num - noted - len(late) - retried:
        latencies.add(how.steady_ps // PS, rest)
