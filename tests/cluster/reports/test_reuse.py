"""What a run says of KV offload and of expert prefetch."""

from typing import get_args

from cluster.cli.show_memory import COLOURS
from cluster.reports.reuse import OFFLOAD, PREFETCH, figures_of, reuse_lines
from configs.schema.placement import What

OF_OFFLOAD = {
    "offload_evicted": 90, "offload_known": 10, "offload_refused": 30, "offload_dropped": 2,
    "offload_stored": 48, "offload_stored_bytes": 3_000_000, "offload_store_evicted": 4,
    "offload_returned": 6, "offload_saved_tokens": 96, "offload_failed": 1,
}  # fmt: skip
OF_PREFETCH = {
    "prefetch_hits": 7, "prefetch_misses": 5, "prefetch_read_bytes": 900_000,
    "prefetch_wasted_bytes": 100_000, "prefetch_no_room": 3,
}  # fmt: skip


def test_what_is_off_is_not_told_of() -> None:
    assert reuse_lines({"preemptions": 3}) == []
    assert figures_of(OFFLOAD, {"preemptions": 3, **OF_PREFETCH}) == {}


def test_every_count_is_told() -> None:
    of_near = {"near_given": 1_200, "near_refused": 3}
    told = reuse_lines({"preemptions": 3, **OF_OFFLOAD, **of_near, **OF_PREFETCH})
    offload, near, prefetch = told
    assert near == (
        "KV beside memory servers: 1,200 blocks given away; 3 times a block was refused"
    )
    assert offload == (
        "KV offload: 90 blocks evicted, 10 of them stored already; 30 not admitted, 2 without "
        "room; 48 written (3 MB); 4 evicted there; 6 returned, 96 tokens not computed again; "
        "1 failed"
    )
    assert prefetch == (
        "expert prefetch: 7 hits, 5 misses; 900 kB read ahead, 100 kB of it thrown away unused; "
        "3 hints without room"
    )
    assert figures_of(PREFETCH, OF_PREFETCH)["wasted_bytes"] == 100_000


def test_all_that_may_lie_in_a_tier_has_a_colour() -> None:
    assert set(COLOURS) == set(get_args(What))
