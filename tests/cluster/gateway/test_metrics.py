"""/metrics, /health and /version."""

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cluster.api.output import Output
from cluster.gateway.client import ClusterState
from cluster.gateway.meter import Meter
from cluster.gateway.metrics import PHASE_BUCKETS, TOKEN_BUCKETS, TTFT_BUCKETS, Metrics
from tests.cluster.gateway.fake_router import MODEL, FakeRouter, forever, say, world
from workers.errors import ContextTooLong, DeadlineExceeded, NotFound, PeerDead, QueueFull

LABELS = {"model_name": MODEL, "engine": "0"}
S_NS = 10**9
HISTOGRAMS = {
    "vllm:time_to_first_token_seconds": TTFT_BUCKETS,
    "vllm:inter_token_latency_seconds": TOKEN_BUCKETS,
    "vllm:time_per_output_token_seconds": TOKEN_BUCKETS,
    "vllm:request_time_per_output_token_seconds": TOKEN_BUCKETS,
    "vllm:e2e_request_latency_seconds": PHASE_BUCKETS,
    "vllm:request_queue_time_seconds": PHASE_BUCKETS,
    "vllm:request_prefill_time_seconds": PHASE_BUCKETS,
    "vllm:request_decode_time_seconds": PHASE_BUCKETS,
    "vllm:request_inference_time_seconds": PHASE_BUCKETS,
}


def samples(text: str) -> dict:
    """(name, label values beside model and engine) -> value; also checks the labels."""
    found = {}
    for family in text_string_to_metric_families(text):
        for s in family.samples:
            if not s.name.startswith("perfuse:gateway"):
                assert {k: s.labels[k] for k in LABELS} == LABELS, s
            rest = tuple(v for k, v in s.labels.items() if k not in LABELS)
            found[(s.name, *rest)] = s.value
    return found


def test_a_request_is_timed_by_the_formulas():
    metrics = Metrics("0")
    meter = Meter(metrics, MODEL, start_ns=10 * S_NS)
    meter.output(Output("r", 0, (1,), num_prompt_tokens=7), 11 * S_NS)
    meter.output(Output("r", 1, (2, 3), num_prompt_tokens=7, approximate=(2,)), 13 * S_NS)
    times = {"queue": S_NS, "prefill": 2 * S_NS, "attention": 3 * S_NS, "expert_wait": 4 * S_NS}
    last = Output("r", 3, (4,), finish_reason="stop", num_prompt_tokens=7, times=times)
    meter.output(last, 14 * S_NS)
    meter.abandon("abort")  # ended before: counts no second time
    got = samples(metrics.exposition(None, "").decode())
    assert got[("vllm:time_to_first_token_seconds_sum",)] == pytest.approx(1.0)
    assert got[("vllm:inter_token_latency_seconds_sum",)] == pytest.approx(3.0)
    assert got[("vllm:inter_token_latency_seconds_count",)] == 2
    assert got[("vllm:time_per_output_token_seconds_sum",)] == pytest.approx(2.0)
    assert got[("vllm:request_time_per_output_token_seconds_sum",)] == pytest.approx(1.0)
    assert got[("vllm:e2e_request_latency_seconds_sum",)] == pytest.approx(4.0)
    assert got[("vllm:request_queue_time_seconds_sum",)] == pytest.approx(1.0)
    assert got[("vllm:request_prefill_time_seconds_sum",)] == pytest.approx(2.0)
    assert got[("vllm:request_decode_time_seconds_sum",)] == pytest.approx(7.0)
    assert got[("vllm:request_inference_time_seconds_sum",)] == pytest.approx(9.0)
    assert got[("vllm:prompt_tokens_total",)] == 7
    assert got[("vllm:generation_tokens_total",)] == 4
    assert got[("perfuse:approximate_tokens_total",)] == 1
    assert got[("vllm:request_success_total", "stop")] == 1
    assert got[("vllm:request_success_total", "abort")] == 0


@pytest.mark.live
def test_metrics_have_vllms_names_labels_and_buckets():
    state = ClusterState(
        ready=True,
        num_running=3,
        num_waiting=4,
        kv_usage=0.25,
        prefix_queries=100,
        prefix_hits=60,
        num_preemptions=2,
        offload={"offload_saved_tokens": 48},
    )

    async def main():
        async with world(FakeRouter(now=state, script=say("a", "b", reason="stop"))) as w:
            before = samples((await w.http.get("/metrics")).text)
            assert before[("vllm:request_success_total", "error")] == 0
            await w.chat()
            await w.chat(stream=True)
            response = await w.http.get("/metrics")
            assert response.headers["content-type"].startswith("text/plain; version=")
            got = samples(response.text)
            assert got[("vllm:num_requests_running",)] == 3
            assert got[("vllm:num_requests_waiting",)] == 4
            assert got[("vllm:kv_cache_usage_perc",)] == 0.25
            assert got[("vllm:prefix_cache_queries_total",)] == 100
            assert got[("vllm:prefix_cache_hits_total",)] == 60
            assert got[("vllm:num_preemptions_total",)] == 2
            assert got[("perfuse:kv_offload_saved_tokens_total",)] == 48
            assert got[("vllm:prompt_tokens_total",)] == 10
            assert got[("vllm:generation_tokens_total",)] == 4
            assert got[("vllm:request_success_total", "stop")] == 2
            for name, buckets in HISTOGRAMS.items():
                bounds = [float(k[1]) for k in got if k[0] == f"{name}_bucket"]
                assert bounds == [*buckets, float("inf")], name

    asyncio.run(main())


@pytest.mark.live
def test_aborted_and_failed_requests_are_counted():
    def script(request):
        if request.prompt == "fail":
            return [Output(request.request_id, 0, (1,), "a"), RuntimeError("x")]
        return forever(request)

    async def main():
        async with world(FakeRouter(script=script)) as w:
            assert (await w.complete(prompt="fail")).status_code == 500
            body = {"model": MODEL, "prompt": "a", "stream": True}
            async with w.http.stream("POST", "/v1/completions", json=body) as response:
                await anext(response.aiter_bytes())
            await w.router.until_closed()
            got = samples((await w.http.get("/metrics")).text)
            assert got[("vllm:request_success_total", "error")] == 1
            assert got[("vllm:request_success_total", "abort")] == 1

    asyncio.run(main())


def silent(request):
    return [asyncio.Event()]


@pytest.mark.live
def test_requests_that_end_before_their_first_output_are_counted():
    """4 that run and 10 that wait hang up: 14; so does one of three choices that all wait."""

    def script(request):
        return (forever if request.prompt == "run" else silent)(request)

    async def main():
        async with world(FakeRouter(script=script)) as w:
            names = ["run"] * 4 + ["wait"] * 10
            asking = [asyncio.create_task(w.complete(prompt=name)) for name in names]
            asking.append(asyncio.create_task(w.complete(prompt="wait", n=3, stream=True)))
            while len(w.router.requests) < 17:
                await asyncio.sleep(0.01)
            for task in asking:
                task.cancel()
            await w.router.until_closed()
            while w.server.desk.num_open:
                await asyncio.sleep(0.01)
            got = samples((await w.http.get("/metrics")).text)
            assert got[("vllm:request_success_total", "abort")] == 17
            assert got[("vllm:request_success_total", "error")] == 0
            assert got[("vllm:prompt_tokens_total",)] == 12  # of the 4 whose prompts were read

    asyncio.run(main())


@pytest.mark.live
@pytest.mark.parametrize(
    ("error", "counted"),
    [
        (DeadlineExceeded("late"), 1),
        (PeerDead("gone"), 1),
        (RuntimeError("a bug"), 1),
        (QueueFull("full"), 0),
        (ContextTooLong("long"), 0),
        (NotFound("no such store"), 0),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_fails_before_its_first_output_is_an_error_and_a_refusal_nothing(error, counted):
    async def main():
        async with world(FakeRouter(script=lambda request: [error])) as w:
            assert (await w.chat()).status_code >= 400
            assert (await w.chat(stream=True)).status_code >= 400
            assert (await w.chat(model="gpt-9")).status_code == 404
            text = (await w.http.get("/metrics")).text
            assert "gpt-9" not in text
            got = samples(text)
            reasons = ("stop", "length", "abort", "error")
            counts = [got[("vllm:request_success_total", reason)] for reason in reasons]
            assert counts == [0, 0, 0, 2 * counted]

    asyncio.run(main())


@pytest.mark.live
@pytest.mark.parametrize(
    ("state", "status"),
    [
        (ClusterState(ready=True), 200),
        (ClusterState(ready=False), 503),
        (ClusterState(ready=True, draining=True), 503),
        (ClusterState(ready=True, lack="no prefill chip lives"), 503),
        (None, 503),
    ],
)
def test_health_is_200_only_when_ready(state, status):
    class Sick(FakeRouter):
        async def state(self, *, is_brief: bool = False):
            if state is None:
                await asyncio.Event().wait()
            return state

    async def main():
        async with world(Sick(), state_timeout_s=0.05) as w:
            for path in ("/health", "/health/ready"):
                assert (await w.http.get(path)).status_code == status
            # A router that does not answer hides its own numbers, not the gateway's.
            text = (await w.http.get("/metrics")).text
            assert ("vllm:num_requests_running" in text) == (state is not None)
            assert "perfuse:gateway_open_requests" in text
            assert (await w.http.get("/version")).json()["version"]

    asyncio.run(main())
