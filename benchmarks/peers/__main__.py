"""Whole engines on one random Qwen3-MoE of 0.7 B parameters, bf16: ours, vLLM's and llama.cpp.

    python -m benchmarks.peers [--json FILE] [--only vllm llama] [--rounds 7] [--threads 2]

Every engine is a process with its own environment; all are loaded, then asked in turn: 128 tokens
in and 64 out for 1, 4 and 16 sequences (the time of a decode step, prefill not in it), and prefill
of 2,048 tokens. Afterwards the fp32 reference reads what each has answered: it says whether all
compute the same model, and which experts the steps had to read.
"""

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np

import kernels
from benchmarks.peers.engines import MAX_PROMPT, Spec, specs
from benchmarks.peers.oracle import Oracle
from benchmarks.peers.paths import BUILD, MODEL
from benchmarks.peers.process import EngineFailed, EngineProcess
from benchmarks.peers.results import Checked, all_rows
from benchmarks.peers.rounds import Session, run_round, warm_up
from benchmarks.rows import UNAVAILABLE, arguments, report
from configs.families import load_model
from kernels import bandwidth, native

PROBE_BYTES = 1 << 30  # no cache holds it


class Unavailable(Exception):
    """No engine, or not one that was asked for, can start here; says why."""


def chosen(names: list[str] | None, threads: int) -> list[Spec]:
    """The engines asked for, or all that can start. Raises ValueError on a name that is none, and
    Unavailable."""
    known = specs(threads)
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise ValueError(f"--only {unknown[0]}: it must be one of {', '.join(known)}")
    problems = {name: problem for name, spec in known.items() if (problem := spec.problem())}
    for name in names or ():
        if name in problems:
            raise Unavailable(problems[name])
    usable = [spec for name, spec in known.items() if name in (names or known)]
    usable = [spec for spec in usable if spec.name not in problems]
    if not usable:
        raise Unavailable("; ".join(problems.values()))
    if not names:
        for problem in problems.values():
            print(f"left out: {problem}")
    return usable


def measure(engines: Mapping[str, EngineProcess], vocab: int, rounds: int) -> Session:
    rng, session = np.random.default_rng(), Session()
    region = bandwidth.Region(PROBE_BYTES)
    for name, engine in engines.items():
        print(f"warming up {name}", flush=True)
        warm_up(engine, rng, vocab)
    for number in range(rounds):
        print(f"round {number + 1} of {rounds}", flush=True)
        run_round(session, engines, region, rng, vocab, number)
    return session


def check(session: Session) -> dict[str, Checked]:
    """The reference beside each engine's first sample of each case."""
    oracle = Oracle(MODEL, MAX_PROMPT)
    checked: dict[str, Checked] = {}
    for (name, case), samples in session.samples.items():
        print(f"the reference reads {name}, {case.name}", flush=True)
        pairs = zip(samples[0].prompts, samples[0].generated, strict=True)
        one = checked.setdefault(name, Checked({}))
        one.followed[case] = [oracle.follow(prompt, tokens) for prompt, tokens in pairs]
    return checked


def main() -> int:
    parser = arguments(__doc__ or "")
    parser.add_argument("--only", nargs="+", metavar="ENGINE", help="these, not all that can start")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved rounds")
    parser.add_argument("--threads", type=int, default=2, help="of each engine, and of the probe")
    options = parser.parse_args()
    try:
        wanted = chosen(options.only, options.threads)
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except Unavailable as error:
        sys.stderr.write(f"{error}\n")
        return UNAVAILABLE
    config = load_model(MODEL)
    native.set_num_threads(options.threads)
    load = Path("/proc/loadavg").read_text(encoding="ascii").split()[0]
    try:
        with contextlib.ExitStack() as stack:
            engines: dict[str, EngineProcess] = {}
            for spec in wanted:  # one after another: vLLM compiles with all cores
                print(f"loading {spec.name}", flush=True)
                engine = stack.enter_context(EngineProcess(spec, BUILD / "logs"))
                seconds = engine.wait_ready()
                engines[spec.name] = engine
                print(f"  {seconds:.0f} s; {engine.description}", flush=True)
            session = measure(engines, config.vocab, options.rounds)
            for name, engine in engines.items():
                print(f"{name}: {engine.memory_bytes() / 2**30:.2f} GiB resident")
    except EngineFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    rows = list(all_rows(session, check(session), config))
    title = f"{kernels.build_info()}; {os.cpu_count()} cores, load {load} at the start"
    return report(rows, options.json, title)


if __name__ == "__main__":
    sys.exit(main())
