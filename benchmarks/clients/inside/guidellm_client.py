"""guidellm: `guidellm run` with synthetic data and our tokenizer."""

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.clients.inside.child import Server

PACKAGES = ("guidellm", "transformers")
REQUESTS, PROMPT, OUTPUT = 8, 64, 16  # how many; tokens of each


def run(server: "Server", backend: str, profile: str, *more: str) -> list[dict[str, Any]]:
    """Its benchmarks."""
    report = Path(server.scratch) / "report.json"
    report.unlink(missing_ok=True)
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "guidellm"),
            "run",
            f"--backend=kind=openai_http,target={server.root},model={server.model}{backend}",
            f"--profile={profile}",
            f"--constraint=kind=max_requests,count={REQUESTS}",
            f"--tokenizer=kind=huggingface_auto,model={server.folder}",
            f"--data=kind=synthetic_text,prompt_tokens={PROMPT},output_tokens={OUTPUT}",
            f"--output=kind=json,path={report}",
            "--disable-console",
            *more,
        ],
        text=True,
        capture_output=True,
        timeout=150,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-500:]
    benchmarks: list[dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))["benchmarks"]
    return benchmarks


def check(benchmarks: list[dict[str, Any]]) -> None:
    """All requests came to their end, each with as many tokens as were asked for."""
    assert benchmarks
    for benchmark in benchmarks:
        metrics = benchmark["metrics"]
        totals = metrics["request_totals"]
        assert totals["errored"] == 0 and totals["successful"] == totals["total"] > 0, totals
        tokens = metrics["output_token_count"]["successful"]
        assert tokens["mean"] == OUTPUT and tokens["std_dev"] == 0, tokens
        assert metrics["time_to_first_token_ms"]["successful"]["mean"] > 0


def chat(server: "Server") -> None:
    """run: chats, 4 at a time, streamed"""
    check(run(server, "", "kind=concurrent,streams=4"))


def completions(server: "Server") -> None:
    """run: completions, at a constant rate"""
    check(run(server, ",request_format=/v1/completions", "kind=constant,rate=8"))


def whole(server: "Server") -> None:
    """run: chats, not streamed, one after another"""
    benchmarks = run(server, ",stream=false", "kind=synchronous")
    assert benchmarks[0]["metrics"]["request_totals"]["successful"] == REQUESTS


FEATURES = (chat, completions, whole)
