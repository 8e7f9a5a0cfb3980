"""The energy of a run, beside its trace and hand arithmetic."""

import pytest

from cluster.runs.run import run_in_virtual, run_traced
from cluster.workload.build import TimedRequest, Workload
from tests.cluster.worlds.cluster import blueprint, request
from workers.host.trace import Delivered, Ran

NO_POOL = {"placement.kv_pool": False}


def one_request() -> Workload:
    return Workload((TimedRequest(0, request("r")),), concurrency=1)


def test_machines_spend_what_their_runs_do_and_links_what_they_carry() -> None:
    plan = blueprint(NO_POOL)
    run, records = run_traced(plan, one_request())
    for node in plan.plan.nodes:
        ran = sum(r.joules for r in records if isinstance(r, Ran) and r.node == node.name)
        assert run.joules[node.name]["machine"] == pytest.approx(ran)
    prefill = plan.plan.node("prefill-0")
    sent = sum(
        r.num_bytes for r in records
        if isinstance(r, Delivered) and r.source == "prefill-0"
        and r.kind != "chip_state_is"  # asked when all is over
    )  # fmt: skip
    joules = sent * 8 * prefill.link.pj_per_bit * 1e-12
    assert run.joules["prefill-0"]["link"] == pytest.approx(joules)


def test_the_start_of_a_cluster_is_not_in_it() -> None:
    run = run_in_virtual(blueprint(NO_POOL), Workload((), concurrency=1), lambda _: None)
    assert not any(joules for told in run.joules.values() for joules in told.values())
