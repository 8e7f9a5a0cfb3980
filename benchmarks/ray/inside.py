"""A driver on one of the hosts: `python -m benchmarks.ray.inside ADDRESS NAME` attaches to a
cluster, then does what each line of its input says, and answers with a line, in JSON.
"""

import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from cluster.worlds.machines.joining import join

if TYPE_CHECKING:
    from cluster.worlds.machines.world import AttachedWorld

CHAT_S = 120.0
# Of a report's figures.
NETWORK = ("estimated", "byte_hops")


class Inside:
    """Its methods are the questions."""

    def __init__(self, world: "AttachedWorld") -> None:
        self._world = world
        self._url = ""

    def status(self) -> dict[str, Any]:
        return self._world.status()

    def serve(self, port: int = 0) -> str:
        """Let the gateway listen where its machine is reached."""
        from cluster.gateway.settings import GatewaySettings

        self._url = self._world.serve(None, port, GatewaySettings())
        return self._url

    def chat(self, questions: Sequence[str], max_tokens: int = 24) -> list[dict[str, Any]]:
        """All at once, over HTTP: text, or error, and how long it took."""
        with ThreadPoolExecutor(len(questions)) as threads:
            return list(threads.map(lambda one: self._chat(one, max_tokens), questions))

    def _chat(self, question: str, max_tokens: int) -> dict[str, Any]:
        import httpx

        body = {
            "model": self._world.blueprint.scenario.model.name,
            "messages": [{"role": "user", "content": question}],
            "max_tokens": max_tokens,
            "temperature": 0,
            "retrieval": {"store": "cards", "top_k": 3},
        }
        begun_s = time.monotonic()
        try:
            told = httpx.post(f"{self._url}/v1/chat/completions", json=body, timeout=CHAT_S).json()
            text = told["choices"][0]["message"]["content"] if "choices" in told else None
            error = None if text is not None else told["error"]["message"]
        except httpx.HTTPError as failed:
            text, error = None, f"{type(failed).__name__}: {failed}"
        return {"text": text, "error": error, "took_s": time.monotonic() - begun_s}

    def run(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The scenario's workload with these keys changed."""
        from cluster.reports.network import network_figures
        from cluster.reports.summary import overrun_fraction, summarise
        from cluster.runs.run import run_in
        from cluster.workload.build import build_workload
        from configs.schema import load_scenario

        blueprint = self._world.blueprint
        scenario = load_scenario(blueprint.scenario.name, dict(changes))
        workload = build_workload(scenario, blueprint.model.vocab)
        run = run_in(self._world, workload, lambda _: None)
        summary = summarise(run.answers, scenario.slo)
        told = network_figures(run.network)
        tpots = {a.request_id: a.tpot_ns for a in run.answers if a.tpot_ns is not None}
        return {
            "tokens": {answer.request_id: list(answer.token_ids) for answer in run.answers},
            "failed": summary.num_failed,
            "ttft_us": summary.ttft_us_p50,
            "tpot_us": summary.tpot_us_p50,
            "overruns": overrun_fraction(run.lateness, tpots) if run.lateness else 0.0,
            "held": run.held,
            "network": None if told is None else {key: told[key] for key in NETWORK},
        }

    def scale(self, counts: Mapping[str, int]) -> None:
        self._world.scale(counts)

    def off_ms(self) -> dict[str, float]:
        """How far each node's wall is from the first one's that needs no correction, in wall time.
        All read the one clock of this machine beside it.
        """
        dilation = self._world.blueprint.scenario.cluster.dilation
        said = self._world.ask_all("wall")
        zeros = {
            node: (before_ns + after_ns) / 2 - shown * dilation
            for node, (before_ns, shown, after_ns) in said.items()
        }
        own = [node for node, one in self.status()["nodes"].items() if one["clock"] is None]
        return {node: (at - zeros[own[0]]) / 1e6 for node, at in zeros.items()}

    def kill(self, node: str) -> None:
        """-9, without a word."""
        os.kill(self.status()["nodes"][node]["pid"], signal.SIGKILL)

    def held(self) -> dict[str, int]:
        return dict(self._world.ask_gateway("held"))

    def failures(self) -> list[str]:
        return [text for texts in self._world.ask_all("failures").values() for text in texts]

    def pids(self) -> dict[str, int]:
        return self._world.ask_all("pid")


def main() -> None:
    address, name = sys.argv[1:]
    # Ray prints what it has to say of its nodes: behind the answers, not between them.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    join(address)
    from cluster.worlds.machines.world import attached

    inside = Inside(attached(name))
    print(json.dumps("attached"), file=answers, flush=True)
    for line in sys.stdin:
        question, arguments = json.loads(line)
        try:
            answer = {"answer": getattr(inside, question)(*arguments)}
        except Exception as error:  # whoever asks has it
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
