"""The benchmark of GPU twins: where there is no GPU it says so; its cases find what is wrong."""

import re
from types import SimpleNamespace

import pytest
import torch

from benchmarks.rows import UNAVAILABLE
from benchmarks.triton import __main__ as benchmark
from benchmarks.triton.case import Case, differs, unequal


def test_without_a_gpu_there_is_nothing_to_measure(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert benchmark.main([]) == UNAVAILABLE
    assert "no GPU" in capsys.readouterr().err


def small_cases():
    """One of each kind, for Triton's interpreter; a GPU takes them as well."""
    pytest.importorskip("tests.kernels.twins")
    from benchmarks.triton.attention import gqa_case, mla_case
    from benchmarks.triton.codec import codec_cases
    from benchmarks.triton.moe import experts, moe_case
    from tests.kernels.twins import DEVICE

    device = torch.device(DEVICE)
    weights = experts(device, 8, 40, 24)
    yield gqa_case(device, 2, 64, 4, 2, 32)
    yield mla_case(device, 1, 128, 3, 32, 16)
    yield moe_case(weights, 1, 4)
    yield moe_case(weights, 3, 3)
    yield from codec_cases(device, 9, 140, 2, 3)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_each_case_is_right_and_would_be_found_wrong():
    for case in small_cases():
        out = case.call()
        assert case.wrong(out) == "", case.name
        spoilt = out[0] if isinstance(out, tuple) else out[-1] if isinstance(out, list) else out
        spoilt.fill_(7)
        assert case.wrong(out), case.name


def test_bytes_and_calls_of_few_tokens():
    """Eight experts, two calls of four: each is read once, in 2 bytes a weight."""
    pytest.importorskip("tests.kernels.twins")
    from benchmarks.triton.moe import draws, experts, moe_case

    assert torch.cat(draws(8, 1, 4)).flatten().sort().values.tolist() == list(range(8))
    case = moe_case(experts(torch.device("cpu"), 8, 40, 24), 1, 4)
    assert case.num_bytes == 8 * 3 * 40 * 24 * 2 + 2 * 40 * 6


def test_rows_say_bandwidth_and_share():
    case = Case("a", 3 * 10**9, lambda: None, lambda out: "")
    case.seconds, case.shares = [1.0, 2.0, 3.0], [0.5, 0.75, 0.25]
    assert [(row.value, row.unit) for row in case.rows()] == [(1.5, "GB/s"), (50, "%")]


def test_what_is_wrong_is_said():
    want = torch.ones(4, dtype=torch.float64)
    assert differs(want.float() * 1.001, want) == ""
    assert "off by 1" in differs(2 * want, want)
    assert "off by nan" in differs(want * torch.nan, want)
    assert unequal("sums", want, want) == "" and "sums" in unequal("sums", want, want + 1)


class Mark:
    """A CUDA event whose clock stands at 2 ms a copy and 1 ms a case."""

    clock_ms = 0.0

    def __init__(self, enable_timing):
        assert enable_timing

    def record(self):
        self.at = Mark.clock_ms

    def elapsed_time(self, later):
        return later.at - self.at


def test_a_share_is_of_the_copies_beside_it(monkeypatch):
    """A copy moves 2,000 bytes in 2 ms; the case 600 in 1 ms."""

    def passing(ms):
        def run(*given):
            Mark.clock_ms += ms

        return run

    graph = SimpleNamespace(replay=passing(1))
    monkeypatch.setattr(benchmark, "COPY_BYTES", 1000)
    monkeypatch.setattr(benchmark, "recorded", lambda call: graph)
    for name, instead in (("Event", Mark), ("synchronize", lambda: None)):
        monkeypatch.setattr(torch.cuda, name, instead)
    right = Case("right", 600, lambda: None, lambda out: "")
    wrong = Case("wrong", 600, lambda: None, lambda out: "upside down")
    other = Case("other", 600, lambda: None, lambda out: "")
    monkeypatch.setattr(benchmark, "families", lambda device: [lambda: [right, wrong, other]])
    monkeypatch.setattr(torch.Tensor, "copy_", passing(2))
    found = benchmark.all_rows(torch.device("cpu"), re.compile("right|wrong"), 3)
    copy, bandwidth, share, failed = found
    assert copy.value == pytest.approx(1e-3) and bandwidth.value == pytest.approx(6e-4)
    assert share.value == pytest.approx(60) and share.unit == "%"
    assert not failed.holds and "upside down" in failed.evidence
