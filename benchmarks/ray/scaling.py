"""Decode chips from 2 to 4 and back to 2, while crowds of 8 streams of 200 tokens take turns.

Expected before the first run: two more processes start within 5 s, beside streams that take all of
both cores: 10 s. On the way back a chip waits for the streams that it has, some seconds. No stream
is touched: tokens equal those of one process, none fails.
"""

import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.ray.cluster import FREE, cluster
from benchmarks.ray.ray_hosts import RayHosts
from benchmarks.rows import Row
from benchmarks.runs import demo, questions, run_in_virtual
from cluster.worlds.blueprint import Blueprint

STREAMS, TOKENS = 8, 200
LOAD: Mapping[str, Any] = {
    "workload.arrivals.closed.concurrency": STREAMS,
    "workload.arrivals.closed.num_requests": STREAMS,
    "workload.sampling.max_tokens": TOKENS,
    "workload.sampling.ignore_eos": True,
}
COUNTS = (4, 2)


def run(ray: RayHosts) -> list[Row]:
    blueprint = Blueprint.draw(demo(STREAMS, LOAD))
    answers = run_in_virtual(blueprint, questions(blueprint, STREAMS), "in one process").answers
    expected = {answer.request_id: answer.token_ids for answer in answers}
    crowds: list[Mapping[str, Any]] = []
    took_s: list[float] = []
    stood: list[int] = []
    with cluster(ray, "scaling", FREE) as asked, ThreadPoolExecutor(1) as thread:
        for count in COUNTS:
            begun_s = time.monotonic()
            scaled = thread.submit(ray.perfuse, "scale", f"decode={count}", "--name", "scaling")
            is_last = False
            while not is_last:
                is_last = scaled.done()
                crowds.append(asked.ask("run", LOAD))
                if scaled.done() and len(took_s) == len(stood):
                    took_s.append(time.monotonic() - begun_s)
            if scaled.result().returncode:
                raise RuntimeError(scaled.result().stdout + scaled.result().stderr)
            nodes = asked.ask("status")["nodes"]
            stood.append(sum(node.startswith("decode") for node in nodes))
    failed = sum(crowd["failed"] for crowd in crowds)
    differ = sum(
        crowd["tokens"].get(name) != tokens for crowd in crowds for name, tokens in expected.items()
    )
    held = sum(sum(crowd["held"].values()) for crowd in crowds)
    num_streams = len(crowds) * STREAMS
    return [
        Row("failed requests while decode chips go from 2 to 4 to 2", failed, "", "0", failed == 0,
            f"measured: {num_streams} streams of {TOKENS} tokens, {STREAMS} at once; "
            f"{' and '.join(f'{one:.0f} s' for one in took_s)} until done"),
        Row("streams among these that differ from one process's", differ, "",
            f"0 of {num_streams}", differ == 0 and held == 0 and stood == list(COUNTS),
            f"measured: decode chips then {stood}; held {held}"),
    ]  # fmt: skip
