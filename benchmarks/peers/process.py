"""The parent's side of one engine: starts the child, sends commands, reads answers, ends it."""

import contextlib
import json
import os
import select
import subprocess
import time
from pathlib import Path
from typing import Any, Self

import psutil

from benchmarks.peers.child import Decoded, Prefilled
from benchmarks.peers.engines import Spec
from benchmarks.peers.paths import CODE, ROOT

LOAD_TIMEOUT_S = 900  # vLLM compiles on its first start
CALL_TIMEOUT_S = 300
CLOSE_TIMEOUT_S = 10
LOG_LINES = 20


class EngineFailed(RuntimeError):
    """An engine ended or did not answer; says which, and the end of its log."""


class EngineProcess:
    """One engine, asleep between calls. A context manager: the process ends with it."""

    def __init__(self, spec: Spec, logs: Path) -> None:
        self.spec = spec
        self._log = logs / f"{spec.name}.log"
        self._buffer = b""
        logs.mkdir(parents=True, exist_ok=True)
        # The parent's own settings of Python and OpenMP are not the engine's.
        inherited = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("PYTHON", "OMP_", "GOMP_", "KMP_", "VLLM_", "LD_PRELOAD"))
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [spec.python, "-P", CODE / "child.py", spec.file, json.dumps(spec.settings)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                cwd=ROOT,
                env=inherited | spec.environment,
            )
        self.description: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def wait_ready(self) -> float:
        """Until the model is loaded; returns the seconds waited from now."""
        start = time.monotonic()
        self.description = self._answer(LOAD_TIMEOUT_S)
        return time.monotonic() - start

    def decode(self, prompts: list[list[int]], new_tokens: int) -> Decoded:
        result: Decoded = self._call("decode", prompts=prompts, new_tokens=new_tokens)
        return result

    def prefill(self, prompt: list[int]) -> Prefilled:
        result: Prefilled = self._call("prefill", prompt=prompt)
        return result

    def cpu_s(self) -> float:
        """CPU time of the process so far, all threads."""
        times = psutil.Process(self._process.pid).cpu_times()
        return float(times.user + times.system)

    def memory_bytes(self) -> int:
        return int(psutil.Process(self._process.pid).memory_info().rss)

    def close(self) -> None:
        """End the process: it leaves when stdin ends; one that does not is killed."""
        if self._process.stdin is not None and not self._process.stdin.closed:
            # It may have ended before it read the last command.
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        try:
            self._process.wait(CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()

    def _call(self, name: str, **arguments: object) -> Any:
        assert self._process.stdin is not None
        line = json.dumps({"call": name, "arguments": arguments}).encode() + b"\n"
        try:
            self._process.stdin.write(line)
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._failed("ended") from None
        return self._answer(CALL_TIMEOUT_S)

    def _answer(self, timeout_s: float) -> Any:
        """The next line's result; reads the descriptor itself, since `select` sees no buffers."""
        assert self._process.stdout is not None
        descriptor, deadline = self._process.stdout.fileno(), time.monotonic() + timeout_s
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([descriptor], [], [], left)[0]:
                raise self._failed(f"gave no answer for {timeout_s:g} s")
            chunk = os.read(descriptor, 1 << 16)
            if not chunk:
                raise self._failed("ended")
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        return json.loads(line)["result"]

    def _failed(self, what: str) -> EngineFailed:
        if what == "ended":  # its last words come after its answers' end
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(CLOSE_TIMEOUT_S)
        end = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-LOG_LINES:]
        return EngineFailed("\n".join([f"{self.spec.name} {what}; {self._log} ends with:", *end]))
