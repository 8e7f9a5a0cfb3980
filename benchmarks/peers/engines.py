"""Which engines there are, and what each is started with: the settings that were fastest here.

docs/peers.md says what else was tried, with numbers.
"""

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.peers.paths import BUILD, CODE, GGUF, MODEL, ROOT, python_of
from benchmarks.peers.tcmalloc import tcmalloc

OURS = "ours"
# The longest prompt that is measured.
MAX_PROMPT = 2048


@dataclass(frozen=True)
class Spec:
    """One engine as a process: interpreter, engine file, settings of its class Engine, variables
    beyond the parent's own."""

    name: str
    python: Path
    file: Path
    settings: dict[str, object]
    environment: dict[str, str] = field(default_factory=dict)

    def problem(self) -> str | None:
        """Why it cannot start; None where nothing is missing."""
        missing = [path for path in (self.python, self.file, self._model()) if not path.exists()]
        if not missing:
            return None
        advice = "python -m benchmarks.peers.setup makes environments and model"
        return f"{self.name} cannot start: {missing[0]} is missing; {advice}"

    def _model(self) -> Path:
        return Path(str(self.settings["model"]))


def specs(threads: int) -> dict[str, Spec]:
    """Every engine by name, each on `threads` threads."""
    return {spec.name: spec for spec in (_ours(threads), _vllm(threads), _llama(threads))}


def _ours(threads: int) -> Spec:
    return Spec(
        OURS,
        Path(sys.executable),
        CODE / "ours.py",
        {"model": str(MODEL), "threads": threads, "max_prompt": MAX_PROMPT},
        {"PYTHONPATH": str(ROOT), "PERFUSE_THREADS": str(threads)},
    )


def _vllm(threads: int) -> Spec:
    """As vLLM sets up its worker processes (vllm/utils/ompmultiprocessing.py, 0.32.0), but with no
    core held back for a scheduler process: here scheduler and worker are one."""
    preload = [library for library in (tcmalloc(), BUILD / "vllm/lib/libiomp5.so") if library]
    cores = sorted(os.sched_getaffinity(0))[:threads]
    return Spec(
        "vllm",
        python_of("vllm"),
        CODE / "vllm_engine.py",
        {"model": str(MODEL), "threads": threads, "max_prompt": MAX_PROMPT},
        {
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "OMP_NUM_THREADS": str(threads),
            "LD_PRELOAD": ":".join(map(str, preload)),
            "KMP_AFFINITY": f"granularity=fine,explicit,proclist=[{','.join(map(str, cores))}]",
            "KMP_BLOCKTIME": "5",  # milliseconds of looking for work; then threads sleep
            "KMP_TPAUSE": "0",
            "VLLM_CACHE_ROOT": str(BUILD / "vllm-cache"),
            "TORCHINDUCTOR_CACHE_DIR": str(BUILD / "vllm-cache" / "inductor"),
            "VLLM_NO_USAGE_STATS": "1",
            "HF_HUB_OFFLINE": "1",
        },
    )


def _llama(threads: int) -> Spec:
    return Spec(
        "llama",
        python_of("llama"),
        CODE / "llama_engine.py",
        {"model": str(GGUF), "threads": threads, "max_prompt": MAX_PROMPT},
    )
