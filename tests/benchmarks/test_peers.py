"""The comparison with whole engines, without the engines: child, rounds, oracle and rows.

Engines here are files that the test writes; a model is of the real shape, only small.
"""

import dataclasses
import math
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers import process
from benchmarks.peers.engines import Spec, specs
from benchmarks.peers.make_model import CONFIG, finished, make_model
from benchmarks.peers.oracle import Followed, Oracle, distinct_experts, step_bytes
from benchmarks.peers.process import EngineFailed, EngineProcess
from benchmarks.peers.results import Checked, all_rows
from benchmarks.peers.rounds import CASES, Case, Sample, Session, run_round
from configs.model_config import ModelConfig
from workers.model.checkpoint import Checkpoint
from workers.model.reference import Reference
from workers.model.sampling_params import SamplingParams
from workers.model.tensors import tensor_shapes

SMALL = CONFIG | {
    "hidden_size": 48,
    "head_dim": 8,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "num_experts": 9,
    "num_experts_per_tok": 3,
    "num_hidden_layers": 3,
    "moe_intermediate_size": 24,
    "vocab_size": 301,
    "max_position_embeddings": 64,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    make_model(path, seed=7, config=SMALL)
    return path


def test_the_checkpoint_has_the_asked_size():
    assert CONFIG["vocab_size"] == 32_000
    shapes = dataclasses.replace(small_config(), **sizes_of(CONFIG))
    assert 0.65e9 < shapes.total_bytes(1) < 0.75e9


def sizes_of(config):
    names = {
        "hidden": "hidden_size",
        "num_layers": "num_hidden_layers",
        "num_heads": "num_attention_heads",
        "num_kv_heads": "num_key_value_heads",
        "head_dim": "head_dim",
        "num_experts": "num_experts",
        "top_k": "num_experts_per_tok",
        "moe_intermediate": "moe_intermediate_size",
        "vocab": "vocab_size",
    }
    return {ours: config[theirs] for ours, theirs in names.items()}


def small_config():
    return ModelConfig(
        architecture="Qwen3MoeForCausalLM",
        dtype="bfloat16",
        **sizes_of(SMALL),
        rope_theta=1e6,
        rms_eps=1e-6,
        norm_topk_prob=True,
        tie_embeddings=False,
        max_context=64,
    )


def test_the_same_seed_gives_the_same_checkpoint(folder, tmp_path):
    assert not finished(tmp_path)
    config = make_model(tmp_path, seed=7, config=SMALL)
    assert finished(tmp_path)
    other = make_model(tmp_path / "other", seed=8, config=SMALL)
    with Checkpoint(folder) as a, Checkpoint(tmp_path) as b, Checkpoint(tmp_path / "other") as c:
        for name, shape in tensor_shapes(config):
            assert np.array_equal(a.read(name, shape), b.read(name, shape)), name
        assert not np.array_equal(a.read(name, shape), c.read(name, shape))
    assert other == config


def test_the_oracle_knows_the_references_own_tokens(folder):
    """Greedy tokens of the reference lose nothing; another token loses what the logits say."""
    rng = np.random.default_rng()
    prompt = rng.integers(0, 301, 19).tolist()
    reference = Reference(folder, max_context=64)
    answer = reference.generate(prompt, SamplingParams(max_tokens=11), want_logits=True)
    oracle = Oracle(folder, 64)
    followed = oracle.follow(prompt, answer.token_ids)
    assert followed.regrets.shape == (11,) and followed.experts.shape == (10, 3, 3)
    assert followed.regrets.max() < 1e-4
    worst = int(answer.logits[-1].argmin())
    other = oracle.follow(prompt, [*answer.token_ids[:-1], worst])
    lost = answer.logits[-1].max() - answer.logits[-1].min()
    assert math.isclose(other.regrets[-1], lost, rel_tol=1e-4)
    assert np.array_equal(other.experts, followed.experts)


def test_the_oracle_refuses_what_does_not_fit(folder):
    with pytest.raises(ValueError, match="at least one must be generated"):
        Oracle(folder, 64).follow([1, 2], [])
    with pytest.raises(ValueError, match="must fit 64"):
        Oracle(folder, 64).follow([1] * 64, [2, 3])


def test_distinct_experts_are_those_of_all_sequences_together():
    rng = np.random.default_rng()
    sequences = [
        Followed(
            np.stack([rng.permutation(20)[:4] for _ in range(7 * 5)]).reshape(7, 5, 4),
            np.zeros(8, dtype=np.float32),
        )
        for _ in range(6)
    ]
    counts = [
        len({int(e) for one in sequences for e in one.experts[step, layer]})
        for step in range(7)
        for layer in range(5)
    ]
    assert math.isclose(distinct_experts(sequences), sum(counts) / len(counts))
    assert distinct_experts(sequences[:1]) == 4


def test_a_steps_bytes_are_those_of_the_tensors_it_reads():
    """All experts and one sequence with an empty cache: everything but the embedding's table, of
    which one row is read."""
    config = small_config()
    sizes = {name: 2 * math.prod(shape) for name, shape in tensor_shapes(config)}
    table = sizes.pop("model.embed_tokens.weight")
    assert step_bytes(config, 1, 9, 0) == sum(sizes.values()) + table / 301
    cached = step_bytes(config, 5, 9, 10) - step_bytes(config, 5, 9, 0)
    assert cached == 5 * 10 * 3 * 2 * (3 * 8) * 2


class Recorder:
    """An engine that takes a fixed time and remembers what it was asked."""

    def __init__(self, ns):
        self.ns, self.asked, self.log, self.used = ns, [], [], 0.0

    def decode(self, prompts, new_tokens):
        self.asked.append(prompts)
        tokens = [[0] * new_tokens for _ in prompts]
        return {"tokens": tokens, "decode_ns": self.ns * 10, "steps": 10}

    def prefill(self, prompt):
        self.asked.append([prompt])
        return {"token": 3, "prefill_ns": self.ns}

    def cpu_s(self):
        return self.used


class Steady:
    num_bytes = 1000

    def read_ns(self):
        return 50


def test_a_round_asks_all_engines_the_same():
    engines, session = {"a": Recorder(5), "b": Recorder(7)}, Session()
    for number in range(2):
        run_round(session, engines, Steady(), np.random.default_rng(), 97, number)
    assert engines["a"].asked == engines["b"].asked
    assert [len(prompts) for prompts in engines["a"].asked] == [1, 4, 16, 1] * 2
    assert {len(p) for prompts in engines["a"].asked for p in prompts} == {128, 2048}
    samples = session.samples["b", CASES[1]]
    assert [sample.ns for sample in samples] == [7, 7] and samples[0].read == 20
    assert samples[0].prompts != samples[1].prompts
    assert list(session.samples)[:2] == [("a", CASES[0]), ("b", CASES[0])]


def made_session(times):
    session = Session(idle_s=dict.fromkeys(times, 10.0), idle_cpu_s=dict.fromkeys(times, 0.1))
    for name, ns in times.items():
        for case in CASES:
            session.samples[name, case] = [Sample(ns, 50.0, [[1]], [[2]]) for _ in range(3)]
    return session


def made_checked(session, regret=0.0):
    experts = np.arange(4).reshape(1, 1, 4)
    one = Followed(experts, np.array([regret, regret], dtype=np.float32))
    names = {name for name, _ in session.samples}
    return {name: Checked({case: [one] for case in CASES}) for name in names}


def rows_by_name(session, checked):
    return {row.name: row for row in all_rows(session, checked, small_config())}


def test_we_are_compared_with_the_faster_peer():
    session = made_session({"ours": 1000.0, "vllm": 2000.0, "llama": 1400.0})
    rows = rows_by_name(session, made_checked(session))
    ratios = {name: row for name, row in rows.items() if row.unit == "x"}
    assert [row.value for row in ratios.values()] == [1.4] * 4
    assert [row.holds for row in ratios.values()] == [True, True, False, True]
    assert all("the faster of vllm and llama" in name for name in ratios)


def test_the_limit_binds_us_alone():
    """800 bytes at 50 bytes/ns are 16 ns: at 20 ns that is 80 %, at 21 it is not."""
    config = small_config()
    moved = step_bytes(config, 4, 4, 160)
    session = made_session({"ours": moved / 50 / 0.81, "vllm": moved / 50 / 0.5})
    rows = rows_by_name(session, made_checked(session))
    name = "decode, 4 sequences, share of the bandwidth limit"
    assert rows[f"ours: {name}"].value == 81.0 and rows[f"ours: {name}"].holds
    assert rows[f"vllm: {name}"].value == 50.0 and rows[f"vllm: {name}"].holds
    slower = made_session({"ours": moved / 50 / 0.79})
    assert not rows_by_name(slower, made_checked(slower))[f"ours: {name}"].holds


def test_another_model_is_seen():
    session = made_session({"vllm": 10.0, "llama": 11.0})
    good = rows_by_name(session, made_checked(session))
    bad = rows_by_name(session, made_checked(session, regret=0.4))
    assert not [row for row in good.values() if not row.holds]
    failed = [name for name, row in bad.items() if not row.holds]
    assert len(failed) == 4 and all("reference" in name for name in failed)


def test_an_engine_that_does_not_sleep_is_seen():
    session = made_session({"vllm": 10.0, "llama": 11.0})
    session.idle_cpu_s["llama"] = 9.0
    failed = [row.name for row in rows_by_name(session, made_checked(session)).values()]
    rows = rows_by_name(session, made_checked(session))
    assert [name for name in failed if not rows[name].holds] == [
        "llama: cores kept busy while it waits"
    ]


def test_what_is_missing_is_named(tmp_path):
    known = specs(2)
    assert list(known) == ["ours", "vllm", "llama"]
    spec = dataclasses.replace(known["vllm"], python=tmp_path / "python")
    assert f"{tmp_path / 'python'} is missing" in str(spec.problem())


ENGINE = """
import sys, time
class Engine:
    def __init__(self, model, start):
        print("noise on stdout")
        self.start = start
    def describe(self):
        return {"version": "1"}
    def decode(self, prompts, new_tokens):
        print("more noise")
        tokens = [[self.start + len(p) + i for i in range(new_tokens)] for p in prompts]
        return {"tokens": tokens, "decode_ns": 5, "steps": new_tokens - 1}
    def prefill(self, prompt):
        if prompt == [0]:
            raise ValueError("a prompt that I do not like")
        time.sleep(60)
"""


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "engine.py"
    path.write_text(ENGINE, encoding="utf-8")
    return Spec("made", Path(sys.executable), path, {"model": "", "start": 40})


@pytest.mark.live
def test_answers_come_back_whatever_an_engine_prints(spec, tmp_path):
    with EngineProcess(spec, tmp_path) as engine:
        engine.wait_ready()
        assert engine.description == {"version": "1"}
        long = [[7] * 50_000, [8]]  # longer than a pipe holds
        decoded = engine.decode(long, 3)
        assert decoded["tokens"] == [[50_040, 50_041, 50_042], [41, 42, 43]]
        assert engine.memory_bytes() > 0 and engine.cpu_s() >= 0
    assert engine._process.returncode == 0


@pytest.mark.live
def test_an_engines_error_ends_it_and_is_shown(spec, tmp_path):
    with EngineProcess(spec, tmp_path) as engine:
        engine.wait_ready()
        with pytest.raises(EngineFailed, match="a prompt that I do not like"):
            engine.prefill([0])


@pytest.mark.live
def test_an_engine_that_does_not_answer_is_given_up(spec, tmp_path, monkeypatch):
    monkeypatch.setattr(process, "CALL_TIMEOUT_S", 0.2)
    monkeypatch.setattr(process, "CLOSE_TIMEOUT_S", 0.2)
    with EngineProcess(spec, tmp_path) as engine:
        engine.wait_ready()
        with pytest.raises(EngineFailed, match=r"made gave no answer for 0\.2 s"):
            engine.prefill([1])
    assert engine._process.returncode == -9


def test_case_names_say_what_is_done():
    assert [case.name for case in (Case(1), Case(16), Case(0))] == [
        "decode, 1 sequence",
        "decode, 16 sequences",
        "prefill of 2,048 tokens",
    ]
