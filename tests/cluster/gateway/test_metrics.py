"""/metrics, /health and /version."""

import asyncio

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cluster.api.output import Output
from cluster.gateway.client import ClusterState
from cluster.gateway.meter import Meter
from cluster.gateway.metrics import PHASE_BUCKETS, TOKEN_BUCKETS, TTFT_BUCKETS, Metrics
from tests.cluster.gateway.fake_router import MODEL, FakeRouter, forever, say, world

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
            assert got[("vllm:prompt_tokens_total",)] == 10
            assert got[("vllm:generation_tokens_total",)] == 4
            assert got[("vllm:request_success_total", "stop")] == 2
            for name, buckets in HISTOGRAMS.items():
                bounds = [float(k[1]) for k in got if k[0] == f"{name}_bucket"]
                assert bounds == [*buckets, float("inf")], name

    asyncio.run(main())


@pytest.mark.live
def test_aborted_and_failed_requests_are_counted_once_they_had_begun():
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
        async def state(self):
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
