"""What a digest run must answer: the definition in docs/digests.md, written out token by token in
plain integers. It shares no code with the workers but the last step, from logits to a token; it
knows no scheduler, no block, no message and no chip.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from configs.model_config import ModelConfig
from configs.schema.routing import Routing
from workers.model.digest.reference_routes import STEP, Route, m, route_of
from workers.model.digest.shape import Shape
from workers.model.sampling import choose
from workers.model.sampling_params import SamplingParams


@dataclass(slots=True)
class _Told:
    """What earlier tokens left: keys[layer][unit] holds one of each token, spans[layer][unit] sums
    of them, one for each span begun.
    """

    keys: list[list[list[int]]]
    spans: list[list[list[int]]]
    count: int = 0


@dataclass
class DigestReference:
    """The answers of one model.

    units    KV heads, or 1 where there is one latent        span   tokens of a span
    route    None: experts are alike (balanced)
    """

    shape: Shape
    units: int
    span: int
    route: Route | None
    _made: dict[tuple[int, int, int], int] = field(default_factory=dict, repr=False)

    def answer(
        self,
        prompt_ids: Sequence[int],
        params: SamplingParams,
        eos_token_ids: Sequence[int] = (),
        uniform: Callable[[int], float] = lambda _: 0.0,
    ) -> tuple[int, ...]:
        """The tokens of an answer. Knows neither constraints nor penalties nor `min_tokens`."""
        layers, units = range(self.shape.num_layers), range(self.units)
        told = _Told([[[] for _ in units] for _ in layers], [[[] for _ in units] for _ in layers])
        answer: list[int] = []
        ends = {*params.stop_token_ids, *(eos_token_ids if params.may_end else ())}
        for token in prompt_ids:
            last = self._token(token, told)
        while True:
            logits = self._logits(last)
            answer.append(choose(logits, params, uniform(len(answer))).token_id)
            if len(answer) == params.max_tokens or answer[-1] in ends:
                return tuple(answer)
            last = self._token(answer[-1], told)

    def _weight(self, what: int, layer: int, index: int) -> int:
        key = (what, layer, index)
        if key not in self._made:
            s = self.shape
            text = (
                f"{s.architecture} {s.hidden} {s.num_layers} {s.num_heads} {self.units} "
                f"{s.num_experts} {s.top_k} {s.vocab}"
            )
            data = hashlib.blake2b(text.encode(), digest_size=8).digest()
            root = int.from_bytes(data, "little")
            self._made[key] = m(m(m(root ^ what) + layer) + index)
        return self._made[key]

    def _token(self, token: int, told: _Told) -> int:
        """Its digest behind the last layer."""
        x, position = m(token + self._weight(1, 0, 0)), told.count
        for layer in range(self.shape.num_layers):
            y = m(x + self._attention(layer, x, position, told))
            if self.shape.is_dense(layer):
                x = m(y + self._network(5, layer, y))
                continue
            if self.shape.shared_intermediate:
                x = m(y + self._network(6, layer, y) + self._experts(layer, y, position))
            else:
                x = m(y + self._experts(layer, y, position))
        told.count += 1
        return m(x + self._weight(9, 0, 0))

    def _attention(self, layer: int, x: int, position: int, told: _Told) -> int:
        found, heads = 0, self.shape.num_heads // self.units
        for unit in range(self.units):
            keys, spans = told.keys[layer][unit], told.spans[layer][unit]
            key = m(x + self._weight(3, layer, unit) + STEP * position)
            if position % self.span == 0:
                spans.append(0)
            spans[-1] += key
            keys.append(key)
            query = x + self._weight(2, layer, unit) + STEP * position
            out = sum(self._weight(4, layer, unit * heads + h) for h in range(heads))
            if self.shape.is_state(layer):
                seen: Sequence[int] = [self._state(layer, unit, keys)]
            else:
                seen = self._seen(layer, keys, spans)
            found += out * sum(m(s + query) for s in seen)
        return found

    def _state(self, layer: int, unit: int, keys: list[int]) -> int:
        """What all tokens so far make of a state, the oldest first."""
        state, decay = 0, self._weight(10, layer, unit) | 1
        for key in keys:
            state = decay * state + key & 0xFFFF_FFFF_FFFF_FFFF
        return state

    def _seen(self, layer: int, keys: list[int], spans: list[int]) -> Sequence[int]:
        """Sums of the keys that the last token sees, one for each span."""
        window = self.shape.window_of(layer)
        if window is None:
            return spans
        last = len(keys) - 1
        first = last - last % window.tokens if window.chunked else last + 1 - window.tokens
        sums = Counter[int]()
        for i in range(max(first, 0), last + 1):
            sums[i // self.span] += keys[i]
        return list(sums.values())

    def _network(self, what: int, layer: int, y: int) -> int:
        slices = sum(self._weight(what, layer, 1 + h) for h in range(self.shape.num_heads))
        return m(y + self._weight(what, layer, 0)) * slices

    def _experts(self, layer: int, y: int, position: int) -> int:
        g = m(y + self._weight(7, layer, 0))
        if self.route is None:
            first = self.shape.num_experts
            experts: Sequence[int] = range(first, first + self.shape.top_k)
        else:
            experts = self.route(layer, g, position)
        total = 0
        for place, expert in enumerate(experts):
            share = (m(g + STEP * (place + 1)) >> 40) + 1  # of 2^24
            bits = int(np.float32(share / 2**24).view(np.uint32))
            total += m(y + self._weight(8, layer, expert) + STEP * bits)
        return total

    def _logits(self, last: int) -> "np.ndarray[tuple[int], np.dtype[np.float32]]":
        logits = np.full(self.shape.vocab, -10_000.0, dtype=np.float32)
        for place in range(1, 17):
            drawn = m(last + STEP * place)
            logits[(drawn >> 32) % self.shape.vocab] = (drawn & 0xFFFFFF) / 2**20
        return logits


def reference_of(
    model: ModelConfig, block_size: int, seed: int, routing: Routing
) -> DigestReference:
    """What a scenario's runs must answer. Raises CheckpointError where a recorded run does not
    fit.
    """
    units = 1 if model.mla is not None else model.num_kv_heads
    span = next(n for n in (16, 8, 4, 2, 1) if block_size % n == 0)
    return DigestReference(model, units, span, route_of(model, seed, routing))
