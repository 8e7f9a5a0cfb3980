"""What `benchmarks.traces` measures: one trace through build_workload and the Driver, in virtual
time, against a cluster that only takes its time. Says when the first request left, and how many.
"""

import asyncio
import sys
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

from cluster.api.output import Output
from cluster.api.request import Request
from cluster.reports.summary import summarise
from cluster.workload import build_workload
from cluster.workload.driver import Driver
from configs.schema import load_scenario
from workers.host.clock.virtual import VirtualClock, virtual_loop

VOCAB_SIZE = 151_936  # Qwen3's
TTFT_NS, TPOT_NS = 2_000_000_000, 30_000_000


class Paced:
    """Every request gets its first token after 2 s and the others 30 ms apart; what the cluster
    would hold of a prompt meanwhile, the driver's task holds here.
    """

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.num_requests = self.num_prompt_tokens = self.inside = self.most_inside = 0

    async def submit(self, request: Request) -> AsyncGenerator[Output, None]:
        if not self.num_requests:
            print("first request", flush=True)
        self.num_requests += 1
        self.num_prompt_tokens += len(request.prompt_ids)
        self.inside += 1
        self.most_inside = max(self.most_inside, self.inside)
        begun_ns, num_tokens = self._clock.now(), request.sampling.max_tokens
        for position in range(num_tokens):
            await self._clock.wait_until(begun_ns + TTFT_NS + position * TPOT_NS)
            yield Output(
                request.request_id,
                position,
                (position % VOCAB_SIZE,),
                finish_reason="length" if position == num_tokens - 1 else "",
                num_output_tokens=position + 1,
            )
        self.inside -= 1


def main(path: str) -> None:
    changes: dict[str, object] = {
        "workload.arrivals": {"trace": {"path": path}},
        "workload.prompts": {"trace": {}},
    }
    workload = build_workload(load_scenario("single", changes), VOCAB_SIZE)
    clock = VirtualClock()
    node: Any = SimpleNamespace(clock=clock, spawn=clock.start)
    paced: Any = Paced(clock)
    loop = virtual_loop(clock)
    asyncio.set_event_loop(loop)
    answers = loop.run_until_complete(Driver(node, paced).run(workload))
    loop.close()
    summary = summarise(answers)
    print(paced.num_requests, paced.num_prompt_tokens, summary.num_tokens, paced.most_inside)


if __name__ == "__main__":
    main(sys.argv[1])
