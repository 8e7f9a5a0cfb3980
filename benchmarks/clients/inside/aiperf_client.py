"""AIPerf: `aiperf profile` with synthetic prompts and our tokenizer."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.clients.inside.child import Server

PACKAGES = ("aiperf", "transformers")
# How many, and tokens of each. AIPerf makes ten prompts of a trace and more in processes that take
# a tokenizer's folder for a name of the hub.
REQUESTS, PROMPT, OUTPUT = 8, 64, 16
SYNTHETIC = (f"--synthetic-input-tokens-mean={PROMPT}", "--synthetic-input-tokens-stddev=0")


def plain(said: str) -> str:
    """The end of what it said, without the frames that it draws."""
    return " ".join("".join(c for c in said if c.isascii()).split())[-500:]


def run(server: "Server", endpoint: str, *more: str) -> dict[str, Any]:
    """Its export; raises AssertionError where it fails or a request does."""
    artifacts = Path(server.scratch) / "artifacts"
    # With the hub switched off AIPerf takes a folder for a name of the hub, and refuses it.
    variables = {key: value for key, value in os.environ.items() if "OFFLINE" not in key}
    done = subprocess.run(
        [
            str(Path(sys.executable).parent / "aiperf"),
            "profile",
            f"--model={server.model}",
            f"--url={server.root}",
            f"--endpoint-type={endpoint}",
            f"--tokenizer={server.folder}",
            "--concurrency=4",
            f"--request-count={REQUESTS}",
            f"--artifact-dir={artifacts}",
            "--ui=none",
            *more,
        ],
        text=True,
        capture_output=True,
        timeout=150,
        env=variables,
    )
    assert done.returncode == 0, plain(done.stdout + done.stderr)
    exported = artifacts / "profile_export_aiperf.json"
    export: dict[str, Any] = json.loads(exported.read_text(encoding="utf-8"))
    assert export["request_count"]["avg"] == REQUESTS, export["request_count"]
    assert not export.get("error_summary"), export["error_summary"]
    exported.unlink()
    return export


def generate(server: "Server", endpoint: str, *more: str) -> None:
    """Every answer has the length that was asked for, by the server's count and by AIPerf's."""
    asked = (*SYNTHETIC, f"--output-tokens-mean={OUTPUT}", "--output-tokens-stddev=0", *more)
    length = run(server, endpoint, *asked, "--use-server-token-count")["output_sequence_length"]
    assert (length["min"], length["max"]) == (OUTPUT, OUTPUT), length


def chat(server: "Server") -> None:
    """profile: chat, --streaming, ignore_eos"""
    generate(server, "chat", "--streaming", "--extra-inputs=ignore_eos:true")


def chat_min_tokens(server: "Server") -> None:
    """profile: chat, --streaming, min_tokens and ignore_eos"""
    given = (f"--extra-inputs=min_tokens:{OUTPUT}", "--extra-inputs=ignore_eos:true")
    generate(server, "chat", "--streaming", *given)


def chat_only_min_tokens(server: "Server") -> None:
    """profile: chat, not streamed, min_tokens alone"""
    generate(server, "chat", f"--extra-inputs=min_tokens:{OUTPUT}")


def completions(server: "Server") -> None:
    """profile: completions, --streaming, --use-legacy-max-tokens, a request rate"""
    given = ("--streaming", "--use-legacy-max-tokens", "--extra-inputs=ignore_eos:true")
    generate(server, "completions", *given, "--request-rate=20")


def embeddings(server: "Server") -> None:
    """profile: embeddings"""
    run(server, "embeddings", *SYNTHETIC)


def trace(server: "Server") -> None:
    """profile: a Mooncake trace, on its schedule"""
    path = Path(server.scratch) / "trace.jsonl"
    lines = [
        {"timestamp": 40 * number, "input_length": 48, "output_length": 8, "hash_ids": [number % 4]}
        for number in range(REQUESTS)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    given = ("--custom-dataset-type=mooncake_trace", "--fixed-schedule", "--streaming")
    block = "--prompt-input-tokens-block-size=48"
    run(server, "chat", f"--input-file={path}", block, *given)


FEATURES = (chat, chat_min_tokens, chat_only_min_tokens, completions, embeddings, trace)
