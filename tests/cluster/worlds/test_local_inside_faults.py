"""What faults do inside nodes that are processes: memory that is a neighbour's, bits that change,
a full disk, worn flash. Its own file: one Ray session a process at a time.
"""

import time

import httpx
import pytest

from benchmarks.memory.flash_node import in_file
from cluster.gateway.settings import GatewaySettings
from cluster.runs.run import run_in
from cluster.workload.build import build_workload
from cluster.worlds.blueprint import Blueprint
from cluster.worlds.local import LocalWorld, local_world
from configs.schema import load_scenario
from tests.cluster.worlds.test_local_faults import PATIENCE_S, told, until

pytestmark = [pytest.mark.live, pytest.mark.timeout(300)]

FAULTS = [
    {"type": "out_of_memory", "node": "decode-0", "duration": "2 s"},
    {"type": "out_of_memory", "node": "prefill-0", "duration": "2 s"},
    {"type": "disk_full", "node": "hbf-0", "start": "100 ms", "duration": "1 s"},
    {"type": "page_error", "node": "hbf-0", "start": "3 s", "attributes": {"blocks": 4}},
    {"type": "wear_out", "node": "hbf-0", "start": "3 s", "attributes": {"share": 0.5}},
]
REAL = {
    "cluster.world": "local",
    "cluster.emulation": False,
    "cluster.nodes.decode.count": 1,
    "placement.collections": None,
    "workload.prompts.questions.retrieval": None,
    "workload.arrivals.closed.num_requests": 24,
    "faults": FAULTS,
}


def test_processes_do_to_themselves_what_faults_say_and_tokens_are_as_ever() -> None:
    blueprint = Blueprint.draw(load_scenario("demo", {**in_file(capacity="16 MiB"), **REAL}))
    workload = build_workload(blueprint.scenario, blueprint.model.vocab)
    with local_world(blueprint) as world:
        first = run_in(world, workload, lambda _: None)
        assert {"fault-0: out_of_memory ends", "fault-1: out_of_memory ends"} <= {*told(world)}
        assert all(answer.error is None for answer in first.answers)
        ends_s = time.monotonic() + PATIENCE_S
        while not any("wear_out" in text for text in told(world)):
            assert time.monotonic() < ends_s, told(world)
            time.sleep(0.01)
        wear = world.ask("hbf-0", "flash_wear")["hbf"]
        assert wear.num_worn + wear.num_bad == -(-wear.num_blocks // 2)
        assert f"fault-4: wear_out {wear.num_worn + wear.num_bad} blocks" in told(world)
        again = run_in(world, workload, lambda _: None)
        assert [a.token_ids for a in again.answers] == [a.token_ids for a in first.answers]
        assert "fault-2: disk_full ends" in told(world)
        posted_ones_happen_too(world)
        assert not any(world.ask_all("failures").values())


def posted_ones_happen_too(world: LocalWorld) -> None:
    url = world.ask_gateway("serve_http", "127.0.0.1", 0, GatewaySettings()) + "/admin/faults"
    killed = world._pids["experts-0"]
    body = {"type": "crash", "node": "experts-0", "attributes": {"restart_after": "100 ms"}}
    answer = httpx.post(url, json=body)
    assert (answer.status_code, answer.json()["name"]) == (200, "posted-0")
    until(world, "posted-0: restart")
    assert world._pids["experts-0"] != killed
    for wrong, why in (
        ({**body, "node": "experts-7"}, "node: no node or worker is called 'experts-7'"),
        ({**body, "name": "posted-0"}, "name: 'posted-0' was another's: choose another name"),
        ({**body, "event": {"kind": "dispatch"}}, "event: messages are watched in world virtual"),
    ):
        answer = httpx.post(url, json=wrong)
        assert answer.status_code == 400 and why in answer.json()["error"]["message"]
