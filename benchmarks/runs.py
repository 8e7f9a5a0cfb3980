"""The demo's questions, put to a whole cluster in either world: what several bars start from."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from rich.console import Console
from rich.progress import Progress

from cluster.runs import run as runs
from cluster.runs.run import OnAnswer, Run
from cluster.workload.build import Workload, build_workload
from cluster.workload.driver import Answer
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.local import LocalWorld, local_world
from configs.schema import Scenario, load_scenario

NUM_QUESTIONS = 500  # that are shipped
RUN_TIMEOUT_S = 900

LOCAL: Mapping[str, object] = {"cluster.world": "local"}
EMULATION_OFF: Mapping[str, object] = {
    **LOCAL,
    "cluster.emulation": False,
    "cluster.dilation": 1,
}


class RunFailed(RuntimeError):
    """The cluster broke while it was measured: its numbers mean nothing."""


def demo(num_requests: int, overrides: Mapping[str, object] | None = None) -> Scenario:
    """The demo scenario with so many questions; an override wins."""
    count = {"workload.arrivals.closed.num_requests": num_requests}
    return load_scenario("demo", {**count, **(overrides or {})})


def sampled(workload: Workload, count: int) -> Workload:
    """`count` of its requests (all, where it has fewer), at even distances."""
    total = len(workload.requests)
    chosen = [i * total // count for i in range(count)] if count < total else range(total)
    return replace(workload, requests=tuple(workload.requests[i] for i in chosen))


def questions(blueprint: Blueprint, count: int = NUM_QUESTIONS) -> Workload:
    """The scenario's requests, or an even sample of them."""
    return sampled(build_workload(blueprint.scenario, blueprint.model.vocab), count)


@contextmanager
def counted(what: str, total: int) -> Iterator[OnAnswer]:
    """A progress bar on stderr; yields what to call with each answer."""
    with Progress(console=Console(file=sys.stderr), transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda answer: progress.advance(task)


def run_in_virtual(blueprint: Blueprint, workload: Workload, what: str) -> Run:
    """A cluster in this process. Raises WorkerFailed where a worker broke."""
    with counted(what, len(workload.requests)) as on_answer:
        return runs.run_in_virtual(blueprint, workload, on_answer)


@contextmanager
def standing(blueprint: Blueprint, what: str) -> Iterator[LocalWorld]:
    """A cluster of processes on this machine, with what it is doing shown on stderr.

    Raises RunFailed at the end if a task of any node failed.
    """
    with Console(file=sys.stderr).status(what) as status:

        def show(step: str) -> None:
            status.update(f"{what}: {step}")

        with local_world(blueprint, show) as world:
            show("running")
            yield world
            failures = {name: told for name, told in world.ask_all("failures").items() if told}
    if failures:
        raise RunFailed(f"{what}: {failures}")


def run_in_local(blueprint: Blueprint, workload: Workload, what: str) -> list[Answer]:
    """All answers of a cluster of processes on this machine."""
    with standing(blueprint, what) as world:
        answers: list[Answer] = world.ask_gateway("run", workload, timeout_s=RUN_TIMEOUT_S)
        return answers
