"""A decoder's step: beside the plain reference, and the same bits however it is cut."""

from dataclasses import dataclass

import numpy as np
import pytest

from kernels import attention, linear, moe, native
from kernels.decoder import Decoder, Gate, LayerNorms, Shape, ref
from tests.kernels.data import normal

POSITIONS = 160
# Of the largest magnitude of the output. bf16 rounds to 2^-9, int8 to 2^-8 of a row's largest, int4
# to 2^-4 of a group's: each is passed through a few products and layers.
TOLERANCE = {"fp32": 2e-5, "bf16": 0.05, "int8": 0.08, "int4": 0.3}


@dataclass
class Model:
    """Random weights, from which decoders of any kind are made."""

    shape: Shape
    gate: Gate
    layers: list
    norm: np.ndarray
    head: np.ndarray
    cosines: np.ndarray
    sines: np.ndarray

    @classmethod
    def random(cls, rng, num_layers=2, **changes):
        kv_heads = int(rng.integers(1, 3))
        shape = Shape(
            hidden=int(rng.integers(2, 6)) * 16 + int(rng.integers(0, 3)) * 4,
            num_heads=kv_heads * int(rng.integers(1, 5)),
            num_kv_heads=kv_heads,
            head_dim=int(rng.choice([16, 32, 48])),
            eps=1e-6,
            window=int(rng.choice([0, 0, 7])),
        )
        gate = changes.get("gate") or Gate(
            int(rng.integers(4, 40)), 3, normalise=bool(rng.integers(2))
        )
        inner, hidden = int(rng.integers(8, 70)), shape.hidden
        queries = shape.num_heads * shape.head_dim
        wide = queries + 2 * shape.num_kv_heads * shape.head_dim

        def weight(rows, columns):
            return normal(rng, rows, columns, scale=columns**-0.5)

        layers = [
            {
                "norms": LayerNorms(
                    input=1 + normal(rng, hidden, scale=0.2),
                    q=(1 + normal(rng, shape.head_dim, scale=0.2)) * shape.head_dim**-0.5,
                    k=1 + normal(rng, shape.head_dim, scale=0.2),
                    post=1 + normal(rng, hidden, scale=0.2),
                ),
                "qkv": weight(wide, hidden),
                "out": weight(hidden, queries),
                "gate": weight(gate.num_experts, hidden),
                "correction": normal(rng, gate.num_experts) * 0.1 if gate.sigmoid else None,
                "experts": [
                    (weight(inner, hidden), weight(inner, hidden), weight(hidden, inner))
                    for _ in range(gate.num_experts)
                ],
            }
            for _ in range(num_layers)
        ]
        angles = rng.uniform(0, 7, (POSITIONS, shape.head_dim // 2))
        return cls(
            shape,
            gate,
            layers,
            1 + normal(rng, hidden, scale=0.2),
            weight(int(rng.integers(20, 90)), hidden),
            np.cos(angles).astype(np.float32),
            np.sin(angles).astype(np.float32),
        )

    def decoder(self, kind="fp32", local=True):
        made = Decoder(self.shape, self.gate, self.cosines, self.sines)
        for layer in self.layers:
            made.add_layer(
                layer["norms"],
                linear.pack(layer["qkv"], kind),
                linear.pack(layer["out"], kind),
                linear.pack(layer["gate"], "fp32"),
                layer["correction"],
                self.experts(layer, kind) if local else None,
            )
        made.set_head(self.norm, linear.pack(self.head, kind))
        return made

    def experts(self, layer, kind):
        gate, _, down = layer["experts"][0]
        held = moe.Experts(kind, self.gate.num_experts, down.shape[0], gate.shape[0])
        for slot, weights in enumerate(layer["experts"]):
            held.set(slot, *weights)
        return held

    def cache(self, kind="fp32", num_blocks=40):
        shape = self.shape
        return attention.KvCache(
            kind, num_blocks, 16, len(self.layers), shape.num_kv_heads, shape.head_dim
        )


def run(decoder, cache, x_TH, cuts, blocks):
    """One sequence in chunks that end at `cuts`: its last hidden states."""
    out, start = [], 0
    for end in cuts:
        plan = decoder.plan(cache, [start], [end - start], [blocks])
        part = x_TH[start:end].copy()
        decoder.forward(cache, plan, part)
        out.append(part)
        start = end
    return np.concatenate(out)


def with_reference(model, monkeypatch, work):
    """`work()` with the library left aside."""
    import kernels.decoder as op

    with monkeypatch.context() as patch:
        for module in (attention, linear, moe, op):
            patch.setattr(module, "lib", None)
        return work()


@pytest.mark.parametrize("kind", ["fp32", "bf16", "int8", "int4"])
def test_a_step_is_what_the_reference_computes(native_isa, rng, kind, monkeypatch):
    model = Model.random(rng, num_layers=1 if kind == "int4" else 2)
    length = int(rng.integers(2, 70))
    x_TH = normal(rng, length, model.shape.hidden)
    blocks = rng.permutation(40)[:5].tolist()
    kv = "fp32" if kind in ("fp32", "int4") else kind
    # Where two experts are about equally likely, rounding may choose the other one: a far larger
    # difference than rounding. Such data say nothing and are drawn again.
    got = run(model.decoder(kind), model.cache(kv), x_TH, [length], blocks)

    def by_reference():
        decoder, cache = model.decoder(kind), model.cache(kv)
        return run(decoder, cache, x_TH, [length], blocks), decoder.logits(got, np.arange(length))

    want, logits = with_reference(model, monkeypatch, by_reference)
    size = np.abs(want).max(axis=1)
    miss = np.abs(got - want).max(axis=1) / size
    assert np.median(miss) < TOLERANCE[kind]
    if kind == "fp32":
        assert miss.max() < TOLERANCE[kind]
    mine = model.decoder(kind).logits(got, np.arange(length))
    assert np.abs(mine - logits).max() <= 0.01 * np.abs(logits).max()


@pytest.mark.parametrize("kind", ["fp32", "bf16", "int8", "int4"])
def test_bits_do_not_depend_on_chunks_batch_or_blocks(native_isa, rng, kind):
    model = Model.random(rng)
    decoder = model.decoder(kind)
    kv = {"fp32": "fp32", "bf16": "bf16"}.get(kind, "int8")
    lengths = rng.integers(20, 75, 3).tolist()
    xs = [normal(rng, n, model.shape.hidden) for n in lengths]
    spots = rng.permutation(40)[:15].reshape(3, 5).tolist()
    whole = [
        run(decoder, model.cache(kv), x, [n], blocks)
        for x, n, blocks in zip(xs, lengths, spots, strict=True)
    ]
    # Together, in random chunks, in other blocks, with garbage in the cache.
    cache = model.cache(kv)
    raw = cache.read_blocks(np.arange(40))
    cache.write_blocks(np.arange(40), np.full_like(raw, 255 if kv != "int8" else 7))
    moved = rng.permutation(40)[:15].reshape(3, 5).tolist()
    done = [0, 0, 0]
    parts: list[list[np.ndarray]] = [[], [], []]
    while any(d < n for d, n in zip(done, lengths, strict=True)):
        live = [i for i in range(3) if done[i] < lengths[i]]
        counts = [int(rng.integers(1, lengths[i] - done[i] + 1)) for i in live]
        counts = [c if rng.random() < 0.5 else 1 for c in counts]
        plan = decoder.plan(cache, [done[i] for i in live], counts, [moved[i] for i in live])
        x = np.concatenate(
            [xs[i][done[i] : done[i] + c] for i, c in zip(live, counts, strict=True)]
        )
        decoder.forward(cache, plan, x)
        for i, part in zip(live, np.split(x, np.cumsum(counts)[:-1]), strict=True):
            parts[i].append(part)
            done[i] += len(part)
    for i in range(3):
        np.testing.assert_array_equal(np.concatenate(parts[i]), whole[i])


@pytest.mark.parametrize("kind", ["fp32", "bf16", "int8", "int4"])
def test_threads_change_no_bit(native_isa, rng, kind):
    """Decode beside a prefill: attention in spans and in tiles, experts by panel and by block."""
    model = Model.random(rng, gate=Gate(6, 3))
    decoder, results = model.decoder(kind), []
    start, x = POSITIONS - 60, normal(rng, 70, model.shape.hidden)
    before = native.lib.num_threads()
    for threads in (1, 2, 3):
        native.set_num_threads(threads)
        cache, out = model.cache(kind if kind != "int4" else "int8"), []
        for spans in ([(0, start)], [(start, 60), (0, 9)], [(start + 60 - 1, 1), (9, 1)]):
            plan = decoder.plan(
                cache,
                [first for first, _ in spans],
                [count for _, count in spans],
                [list(range(10)), list(range(20, 30))][: len(spans)],
            )
            rows = np.resize(x, (plan.num_tokens, x.shape[1]))
            decoder.forward(cache, plan, rows)
            out.append(rows)
        results.append(np.concatenate(out))
    native.set_num_threads(before)
    assert np.array_equal(results[0], results[1]) and np.array_equal(results[0], results[2])


def test_experts_elsewhere_give_the_same_bits(isa, rng):
    model = Model.random(rng)
    length = int(rng.integers(1, 40))
    x = normal(rng, length, model.shape.hidden)
    blocks = [[3, 1, 2]]
    near, far = model.decoder(), model.decoder(local=False)
    want, cache = x.copy(), model.cache()
    near.forward(cache, near.plan(cache, [0], [length], blocks), want)
    cache = model.cache()
    plan = far.plan(cache, [0], [length], blocks)
    for index, layer in enumerate(model.layers):
        chosen = far.attend(cache, plan, index, x)
        half = model.gate.num_experts // 2
        sums = np.zeros(x.shape)
        for held in (range(half), range(half, model.gate.num_experts)):
            shard = moe.Experts("fp32", len(held), x.shape[1], len(layer["experts"][0][0]), held)
            for slot, expert in enumerate(held):
                shard.set(slot, *layer["experts"][expert])
            sums += moe.forward(shard, *chosen)
        x = (x + sums).astype(np.float32)
    np.testing.assert_array_equal(x, want)
    with pytest.raises(ValueError, match="elsewhere"):
        far.forward(cache, plan, x)


GATES = (
    Gate(16, 4),
    Gate(33, 5, normalise=False, scaling=2.5),
    Gate(16, 4, groups=4, groups_kept=2, normalise=False, scaling=16.0),
    Gate(24, 6, sigmoid=True, groups=4, groups_kept=2, group_best=2, scaling=2.5),
)


@pytest.mark.parametrize("gate", GATES)
def test_gates_choose_as_the_reference(native_isa, rng, gate):
    model = Model.random(rng, num_layers=1, gate=gate)
    length = 30
    x = normal(rng, length, model.shape.hidden)
    decoder, cache = model.decoder(local=False), model.cache()
    hidden, ids, weights = decoder.attend(cache, decoder.plan(cache, [0], [length], [[0, 1]]), 0, x)
    layer = model.layers[0]
    logits = (hidden.astype(np.float64) @ layer["gate"].T.astype(np.float64)).astype(np.float32)
    want_ids, want_weights = ref.choose(gate, layer["correction"], logits)
    same = (ids == want_ids).all(axis=1)
    assert same.mean() > 0.9  # all but near ties
    np.testing.assert_allclose(weights[same], want_weights[same], rtol=2e-5)
    for row in np.flatnonzero(~same):  # a near tie: both choices weigh the same
        np.testing.assert_allclose(np.sort(weights[row]), np.sort(want_weights[row]), rtol=1e-3)


def test_experts_of_groups_left_out_are_not_chosen_even_where_all_scores_are_below_zero(isa, rng):
    gate = Gate(24, 6, sigmoid=True, groups=4, groups_kept=2, group_best=2)
    model = Model.random(rng, num_layers=1, gate=gate)
    model.layers[0]["correction"] = np.full(24, -3.0, dtype=np.float32)
    decoder, cache = model.decoder(local=False), model.cache()
    x = normal(rng, 30, model.shape.hidden)
    hidden, ids, _ = decoder.attend(cache, decoder.plan(cache, [0], [30], [[0, 1]]), 0, x)
    logits = hidden.astype(np.float64) @ model.layers[0]["gate"].T.astype(np.float64)
    scores = np.sort(1 / (1 + np.exp(-logits)).reshape(30, 4, 6), axis=-1)[..., -2:].sum(axis=-1)
    kept = np.argsort(-scores, axis=-1)[:, :2]
    assert all(set(row // 6) <= set(best) for row, best in zip(ids, kept, strict=True))


def test_equal_scores_go_to_the_lowest_ids(isa, rng):
    model = Model.random(rng, num_layers=1, gate=Gate(8, 3))
    model.layers[0]["gate"] = np.zeros_like(model.layers[0]["gate"])
    decoder, cache = model.decoder(local=False), model.cache()
    x = normal(rng, 4, model.shape.hidden)
    _, ids, weights = decoder.attend(cache, decoder.plan(cache, [0], [4], [[0]]), 0, x)
    assert (ids == [0, 1, 2]).all()
    np.testing.assert_allclose(weights, 1 / 3, rtol=1e-6)


def test_what_does_not_fit_is_refused(isa, rng):
    model = Model.random(rng)
    decoder, cache = model.decoder(), model.cache()
    with pytest.raises(ValueError, match="context of 160"):
        decoder.plan(cache, [155], [10], [list(range(11))])
    with pytest.raises(ValueError, match="blocks"):
        decoder.plan(cache, [0], [17], [[1]])
    for block in (40, -1, 2**32, -(2**40)):
        with pytest.raises(ValueError, match=str(block)):
            decoder.plan(cache, [0], [1], [[block]])
    wrong = Decoder(model.shape, model.gate, model.cosines, model.sines)
    layer = model.layers[0]
    qkv, out = linear.pack(layer["qkv"], "fp32"), linear.pack(layer["out"], "fp32")
    with pytest.raises(ValueError, match="gate"):
        wrong.add_layer(layer["norms"], qkv, out, linear.pack(layer["gate"], "bf16"))
    with pytest.raises(ValueError, match="qkv"):
        wrong.add_layer(layer["norms"], out, out, out)
    with pytest.raises(ValueError, match="divide"):
        Decoder(model.shape, Gate(10, 2, groups=3), model.cosines, model.sines)
    for gate, named in (
        (Gate(8, 2, groups=0), "groups is 0"),
        (Gate(8, 2, groups=2, groups_kept=3), "groups_kept is 3"),
        (Gate(8, 2, group_best=3), "group_best is 3"),
    ):
        with pytest.raises(ValueError, match=named):
            Decoder(model.shape, gate, model.cosines, model.sines)
    with pytest.raises(ValueError, match="groups kept"):
        Decoder(model.shape, Gate(8, 5, groups=4, groups_kept=2), model.cosines, model.sines)
    with pytest.raises(ValueError, match="cosines"):
        Decoder(model.shape, model.gate, model.cosines[:, :-1], model.sines)


def test_a_plan_serves_what_it_was_made_for(native_isa, rng):
    model = Model.random(rng)
    decoder, cache = model.decoder(), model.cache()
    x = normal(rng, 1, model.shape.hidden)
    plan = decoder.plan(cache, [100], [1], [[39, *range(1, 7)]])
    with pytest.raises(ValueError, match="cache of 40 blocks; this one has 30"):
        decoder.forward(model.cache(num_blocks=30), plan, x)
    model.cosines, model.sines = model.cosines[:50], model.sines[:50]
    with pytest.raises(ValueError, match="context of 160 tokens; the decoder's is 50"):
        model.decoder().forward(cache, plan, x)
    decoder.forward(cache, plan, x)


def test_parts_that_are_missing_are_named(isa, rng):
    model = Model.random(rng)
    x = normal(rng, 1, model.shape.hidden)
    headless = Decoder(model.shape, model.gate, model.cosines, model.sines)
    with pytest.raises(ValueError, match="no head"):
        headless.logits(x, np.zeros(1, dtype=np.int64))
    headless.set_head(model.norm, linear.pack(model.head, "fp32"))
    layer = model.layers[0]
    inner = layer["experts"][0][0].shape[0]
    experts = moe.Experts("fp32", model.gate.num_experts, model.shape.hidden, inner)
    qkv, out, gate = (linear.pack(layer[name], "fp32") for name in ("qkv", "out", "gate"))
    headless.add_layer(layer["norms"], qkv, out, gate, layer["correction"], experts)
    assert headless.logits(x, np.zeros(1, dtype=np.int64)).shape == (1, len(model.head))
    cache = model.cache()
    with pytest.raises(ValueError, match="no weights yet"):
        headless.forward(cache, headless.plan(cache, [0], [1], [[0]]), x)


def test_a_score_of_nan_comes_last(isa, rng):
    model = Model.random(rng, num_layers=1, gate=Gate(8, 3, sigmoid=True))
    model.layers[0]["gate"][:2] = np.nan
    decoder, cache = model.decoder(local=False), model.cache()
    x = normal(rng, 4, model.shape.hidden)
    _, ids, weights = decoder.attend(cache, decoder.plan(cache, [0], [4], [[0]]), 0, x)
    assert (ids >= 2).all() and np.isfinite(weights).all()


def test_nothing_to_do_is_fine(isa, rng):
    model = Model.random(rng)
    decoder, cache = model.decoder(), model.cache()
    x = np.empty((0, model.shape.hidden), dtype=np.float32)
    decoder.forward(cache, decoder.plan(cache, [], [], []), x)
    assert decoder.logits(x, np.empty(0, dtype=np.int64)).shape == (0, len(model.head))
