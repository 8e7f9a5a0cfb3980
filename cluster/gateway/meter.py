"""Times one submission and puts what it sees into the metrics."""

from collections.abc import Mapping

from cluster.api.output import BEFORE_DECODE, Output
from cluster.gateway.metrics import Metrics, ModelMetrics

_S_PER_NS = 1e-9


class Meter:
    """Whatever becomes of a submission that was let in, it is counted under one reason.

    start_ns   wall nanoseconds at which the request's body had arrived; all times are on that clock
    to         the model's metrics; None where nobody knows yet that there is one
    """

    def __init__(
        self, metrics: Metrics, model: str, start_ns: int, to: ModelMetrics | None = None
    ) -> None:
        self._metrics = metrics
        self._model = model
        self._start_ns = start_ns
        self._first_ns = 0
        self._last_ns = 0
        self._num_tokens = 0
        self._to = to
        self._begun = False
        self._ended = False

    def output(self, output: Output, now_ns: int) -> None:
        """Call for each output, before it is written out."""
        # The router took the request, so the model exists.
        to = self._to = self._to or self._metrics.model(self._model)
        if not self._begun:
            self._begun = True
            to.prompt_tokens.inc(output.num_prompt_tokens)
        num_new = len(output.token_ids)
        if num_new:
            if self._num_tokens == 0:
                self._first_ns = now_ns
                to.ttft.observe((now_ns - self._start_ns) * _S_PER_NS)
            else:
                gap_s = (now_ns - self._last_ns) * _S_PER_NS
                to.itl.observe(gap_s)
                to.tpot.observe(gap_s / num_new)
            self._last_ns = now_ns
            self._num_tokens += num_new
            to.generation_tokens.inc(num_new)
        if output.approximate:
            to.approximate_tokens.inc(len(output.approximate))
        if output.finish_reason:
            self._finish(to, output, now_ns)

    def abandon(self, reason: str) -> None:
        """The submission ended without a last output: "abort" (the user went away) or "error"; ""
        is a refusal, which counts where others of its request had begun: as an error.
        """
        if self._to is not None and not self._ended:
            self._ended = True
            if reason or self._begun:
                self._to.success[reason or "error"].inc()

    def _finish(self, to: ModelMetrics, output: Output, now_ns: int) -> None:
        self._ended = True
        reason = output.finish_reason
        to.success[reason if reason in to.success else "error"].inc()
        to.e2e.observe((now_ns - self._start_ns) * _S_PER_NS)
        if self._num_tokens > 1:
            rest_s = (now_ns - self._first_ns) * _S_PER_NS
            to.request_tpot.observe(rest_s / (self._num_tokens - 1))
        if output.times:
            times = output.times
            to.queue.observe(times.get("queue", 0) * _S_PER_NS)
            to.prefill.observe(times.get("prefill", 0) * _S_PER_NS)
            to.decode.observe(decode_ns(times) * _S_PER_NS)
            to.inference.observe((sum(times.values()) - times.get("queue", 0)) * _S_PER_NS)


def decode_ns(times: Mapping[str, int]) -> int:
    """Emulated nanoseconds of decode: said outright, or all phases (attention, expert_wait ...)
    after KV moved.
    """
    if "decode" in times:
        return times["decode"]
    return sum(ns for phase, ns in times.items() if phase not in BEFORE_DECODE)
