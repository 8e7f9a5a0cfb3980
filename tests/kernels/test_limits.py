"""What the machine does not give: memory and threads. Each in a process of its own."""

import os

import pytest

from kernels import native
from tests.kernels.test_native import run

pytestmark = [
    pytest.mark.skipif(native.lib is None, reason=f"library is {native.missing}"),
    pytest.mark.skipif("libasan" in os.environ.get("LD_PRELOAD", ""), reason="needs all memory"),
]

# Two threads that have both worked; `limit` leaves so many bytes of address space.
START = """
import os, resource, sys
import numpy as np
from kernels import linear, mla, native, sampling, scan
weights = linear.pack(np.ones((600, 256), np.float32), "bf16")
x = np.ones((2, 256), np.float32)
def right():
    return (linear.forward(weights, x) == 256).all()
def limit(left):
    held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (held + left, resource.RLIM_INFINITY))
def refused(call):
    limit(1 << 20)
    try:
        call()
    except MemoryError:
        return True
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    return False
assert right()
"""


def check(code: str, threads: int = 2) -> None:
    done = run(START + code, PERFUSE_THREADS=str(threads), OPENBLAS_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr


def test_threads_that_cannot_be_had_are_not_waited_for():
    """Room for the stacks of a few threads, of 255."""
    check(
        """
limit(200 << 20)
native.set_num_threads(256)
assert right() and right()
assert len(os.listdir("/proc/self/task")) < 250, "the limit did not bite"
""",
        threads=1,
    )


def test_latent_attention_without_memory_for_its_threads():
    check(
        """
cache = mla.LatentCache("bf16", 20, 16, 1, 512, 64)
slots = mla.Layout([mla.Span(0, 320, range(20))]).slots(16)
cache.write(0, *slots, np.ones((320, 512), np.float32), np.ones((320, 64), np.float32))
layout = mla.Layout([mla.Span(319, 1, range(20))] * 12)
q, out = np.ones((12, 512, 576), np.float32), np.empty((12, 512, 512), np.float32)
def forward():
    mla.forward(cache, 0, q, layout, out, scale=0.1)
native.set_num_threads(1)
forward()  # the caller has what it needs; of the other one it is not known when it comes
native.set_num_threads(2)
assert any(refused(forward) for _ in range(50))
out[...] = np.nan
forward()
assert np.abs(out - 1).max() < 1e-3 and right()
"""
    )


def test_a_scan_without_memory_for_what_it_finds():
    check(
        """
num, k = 1 << 18, 50_000
shard = scan.Shard("int8", num, 16)
shard.set(0, np.repeat(np.arange(1, num + 1, dtype=np.float32)[:, None], 16, axis=1))
ids, scores = np.empty((1, k), np.int64), np.empty((1, k), np.float32)
query = np.ones((1, 16), np.float32)
shard.run(query, ids[:, :1].copy(), scores[:, :1].copy())
assert refused(lambda: shard.run(query, ids, scores))
shard.run(query, ids, scores)
assert (ids[0] == num - 1 - np.arange(k)).all() and right()
"""
    )


def test_sampling_without_memory_for_its_threads():
    check(
        """
logits = np.zeros((4, 1 << 19), np.float32)
given = np.ones(4), np.zeros(4, np.int64), np.ones(4), np.zeros(4)
assert refused(lambda: sampling.choose(logits, *given))
assert (sampling.choose(logits, *given)[0] == 0).all() and right()
"""
    )
