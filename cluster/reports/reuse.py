"""What came of memory that works behind, beside or ahead: what a run says of KV offload, KV near
memory and expert prefetch.
"""

from collections.abc import Mapping

from configs.fitting import rough

OFFLOAD, NEAR, PREFETCH = "offload_", "near_", "prefetch_"


def figures_of(prefix: str, counts: Mapping[str, int]) -> dict[str, int]:
    """Of a run's counts those of one kind, without their prefix; none where it is off."""
    return {
        what.removeprefix(prefix): count
        for what, count in counts.items()
        if what.startswith(prefix)
    }


def reuse_lines(counts: Mapping[str, int]) -> list[str]:
    """In words; nothing of what is off."""
    lines = []
    if told := figures_of(OFFLOAD, counts):
        lines.append(_offload(told))
    if told := figures_of(NEAR, counts):
        lines.append(
            f"KV beside memory servers: {told['given']:,} blocks given away; {told['refused']:,} "
            "times a block was refused"
        )
    if told := figures_of(PREFETCH, counts):
        lines.append(_prefetch(told))
    return lines


def _offload(told: Mapping[str, int]) -> str:
    parts = [
        f"{told['evicted']:,} blocks evicted, {told['known']:,} of them stored already",
        f"{told['refused']:,} not admitted, {told['dropped']:,} without room",
        f"{told['stored']:,} written ({rough(told['stored_bytes'])})",
        f"{told['store_evicted']:,} evicted there",
        f"{told['returned']:,} returned, {told['saved_tokens']:,} tokens not computed again",
        f"{told['failed']:,} failed",
    ]
    return "KV offload: " + "; ".join(parts)


def _prefetch(told: Mapping[str, int]) -> str:
    return (
        f"expert prefetch: {told['hits']:,} hits, {told['misses']:,} misses; "
        f"{rough(told['read_bytes'])} read ahead, {rough(told['wasted_bytes'])} of it thrown away "
        f"unused; {told['no_room']:,} hints without room"
    )
