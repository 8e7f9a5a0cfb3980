"""Prometheus metrics under the names, labels and buckets that dashboards for vLLM expect.

Clocks: time to first token, gaps and end-to-end times are this process's wall clock, as a user
feels them. The phase times (queue, prefill, decode, inference) are the cluster's own, in emulated
seconds, from Output.times. A refused request leaves no trace, and no user can make up a model name
that becomes a label; every other ends in one `request_success`, whatever its stage.
"""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from cluster.gateway.client import ClusterState

# All in seconds; from vLLM's vllm/v1/metrics/loggers.py.
# fmt: off
TTFT_BUCKETS = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
)
TOKEN_BUCKETS = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
    40.0, 80.0,
)
PHASE_BUCKETS = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1920.0, 7680.0,
)
# fmt: on
FINISHED_REASONS = ("stop", "length", "abort", "error")
LABELS = ("model_name", "engine")
OFFLOAD_TEXT = "KV offload, of all chips: blocks, bytes or tokens; see docs/memory.md."


class Metrics:
    """One registry of its own, so that two gateways in one process do not add up."""

    def __init__(self, engine: str) -> None:
        self.registry = CollectorRegistry()
        self._engine = engine
        self._models: dict[str, ModelMetrics] = {}
        self._cluster = _ClusterCollector(engine)
        self.registry.register(self._cluster)
        self.ttft = self._histogram(
            "time_to_first_token", "Wall seconds to the first token.", TTFT_BUCKETS
        )
        self.itl = self._histogram(
            "inter_token_latency", "Wall seconds between streamed outputs.", TOKEN_BUCKETS
        )
        self.tpot = self._histogram(
            "time_per_output_token",
            "Wall seconds between streamed outputs, divided by the tokens of the later one.",
            TOKEN_BUCKETS,
        )
        self.request_tpot = self._histogram(
            "request_time_per_output_token",
            "(e2e - time to first token) / (output tokens - 1), per request.",
            TOKEN_BUCKETS,
        )
        self.e2e = self._histogram(
            "e2e_request_latency", "Wall seconds from request to last token.", PHASE_BUCKETS
        )
        self.queue = self._phase("queue", "queues.")
        self.prefill = self._phase("prefill", "prefill.")
        self.decode = self._phase("decode", "decode.")
        self.inference = self._phase("inference", "all phases but queues.")
        self.prompt_tokens = self._counter("vllm:prompt_tokens", "Prompt tokens processed.")
        self.generation_tokens = self._counter("vllm:generation_tokens", "Tokens generated.")
        self.approximate_tokens = self._counter(
            "perfuse:approximate_tokens", "Tokens delivered with a share replaced, and flagged so."
        )
        self.success = Counter(
            "vllm:request_success",
            "Finished requests, by reason.",
            (*LABELS, "finished_reason"),
            registry=self.registry,
        )
        self.given_up = self._slow_clients()
        text = "HTTP generations this gateway has open."
        self.open_requests = Gauge("perfuse:gateway_open_requests", text, registry=self.registry)

    def model(self, name: str) -> "ModelMetrics":
        """The metrics of a model that exists; `name` becomes a label."""
        if name not in self._models:
            self._models[name] = ModelMetrics(self, name, self._engine)
        return self._models[name]

    def exposition(self, state: ClusterState | None, model: str) -> bytes:
        """The text for Prometheus. Without a state the cluster's own metrics are absent."""
        self._cluster.state, self._cluster.model = state, model
        return generate_latest(self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(
            f"vllm:{name}_seconds", text, LABELS, buckets=buckets, registry=self.registry
        )

    def _phase(self, name: str, what: str) -> Histogram:
        text = f"Emulated seconds a request spent in {what}"
        return self._histogram(f"request_{name}_time", text, PHASE_BUCKETS)

    def _slow_clients(self) -> Counter:
        text = "Streams ended as too much waited for their client (bytes), or for too long (time)."
        return Counter("perfuse:slow_clients", text, ("reason",), registry=self.registry)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(name, text, LABELS, registry=self.registry)


class ModelMetrics:
    """One model's metrics with their labels resolved: `labels()` costs more than an observation."""

    def __init__(self, metrics: Metrics, name: str, engine: str) -> None:
        labels = (name, engine)
        self.ttft = metrics.ttft.labels(*labels)
        self.itl = metrics.itl.labels(*labels)
        self.tpot = metrics.tpot.labels(*labels)
        self.request_tpot = metrics.request_tpot.labels(*labels)
        self.e2e = metrics.e2e.labels(*labels)
        self.queue = metrics.queue.labels(*labels)
        self.prefill = metrics.prefill.labels(*labels)
        self.decode = metrics.decode.labels(*labels)
        self.inference = metrics.inference.labels(*labels)
        self.prompt_tokens = metrics.prompt_tokens.labels(*labels)
        self.generation_tokens = metrics.generation_tokens.labels(*labels)
        self.approximate_tokens = metrics.approximate_tokens.labels(*labels)
        # All reasons from the start, so that rate() sees the first error.
        self.success = {r: metrics.success.labels(*labels, r) for r in FINISHED_REASONS}


class _ClusterCollector(Collector):
    """The router's own counts, as of the scrape."""

    def __init__(self, engine: str) -> None:
        self._engine = engine
        self.state: ClusterState | None = None
        self.model = ""

    def collect(self) -> Iterator[Metric]:
        state = self.state
        if state is None:
            return
        gauges = (
            ("num_requests_running", "Requests in execution.", state.num_running),
            ("num_requests_waiting", "Requests waiting.", state.num_waiting),
            ("kv_cache_usage_perc", "KV blocks in use; 1 is all of them.", state.kv_usage),
        )
        for name, text, value in gauges:
            gauge = GaugeMetricFamily(f"vllm:{name}", text, labels=LABELS)
            gauge.add_metric((self.model, self._engine), value)
            yield gauge
        counters = (
            ("prefix_cache_queries", "Tokens looked up in prefix caches.", state.prefix_queries),
            ("prefix_cache_hits", "Tokens found in prefix caches.", state.prefix_hits),
            ("num_preemptions", "Sequences preempted.", state.num_preemptions),
        )
        for name, text, value in counters:
            counter = CounterMetricFamily(f"vllm:{name}", text, labels=LABELS)
            counter.add_metric((self.model, self._engine), value)
            yield counter
        for name, count in state.offload.items():
            counter = CounterMetricFamily(f"perfuse:kv_{name}", OFFLOAD_TEXT, labels=LABELS)
            counter.add_metric((self.model, self._engine), count)
            yield counter
