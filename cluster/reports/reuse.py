"""What came of memory that works ahead or behind: what a run says of KV offload."""

from collections.abc import Mapping

from configs.fitting import rough

OFFLOAD = "offload_"


def offload_figures(counts: Mapping[str, int]) -> dict[str, int]:
    """Of a run's counts those of KV offload, without their prefix; none where it is off."""
    return {
        what.removeprefix(OFFLOAD): count
        for what, count in counts.items()
        if what.startswith(OFFLOAD)
    }


def reuse_lines(counts: Mapping[str, int]) -> list[str]:
    """In words; nothing of what is off."""
    told = offload_figures(counts)
    if not told:
        return []
    parts = [
        f"{told['evicted']:,} blocks evicted, {told['known']:,} of them stored already",
        f"{told['refused']:,} not admitted, {told['dropped']:,} without room",
        f"{told['stored']:,} written ({rough(told['stored_bytes'])})",
        f"{told['store_evicted']:,} evicted there",
        f"{told['returned']:,} returned, {told['saved_tokens']:,} tokens not computed again",
        f"{told['failed']:,} failed",
    ]
    return ["KV offload: " + "; ".join(parts)]
