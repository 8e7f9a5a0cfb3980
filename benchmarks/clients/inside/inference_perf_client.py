"""inference-perf: its configuration against our URL, with our tokenizer."""

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.clients.inside.child import Server

PACKAGES = ("inference-perf", "transformers")
RATE, SECONDS, PROMPT, OUTPUT = 5, 2, 48, 16  # requests/s; tokens of each


def fixed(tokens: int) -> dict[str, Any]:
    count = RATE * SECONDS
    return {"type": "fixed", "min": tokens, "max": tokens, "mean": tokens, "total_count": count}


def run(server: "Server", api: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """Its summary; raises AssertionError where it fails or a request does."""
    reports = Path(server.scratch) / "reports"
    configuration = Path(server.scratch) / "configuration.yml"
    wanted = {
        "api": api,
        "data": data,
        "load": {
            "type": "constant",
            "num_workers": 1,
            "stages": [{"rate": RATE, "duration": SECONDS}],
        },
        "server": {
            "type": "vllm",
            "model_name": server.model,
            "base_url": server.root,
            "ignore_eos": True,
        },
        "tokenizer": {"pretrained_model_name_or_path": server.folder},
        "storage": {"local_storage": {"path": str(reports)}},
    }
    configuration.write_text(json.dumps(wanted), encoding="utf-8")  # JSON is YAML too
    done = subprocess.run(
        [str(Path(sys.executable).parent / "inference-perf"), "-c", str(configuration)],
        text=True,
        capture_output=True,
        timeout=150,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-500:]
    said = reports / "summary_lifecycle_metrics.json"
    summary: dict[str, Any] = json.loads(said.read_text(encoding="utf-8"))
    assert summary["failures"]["count"] == 0, f"{summary['failures']['count']} requests failed"
    assert summary["successes"]["count"] == RATE * SECONDS, summary["successes"]
    said.unlink()
    return summary


def completion(server: "Server") -> None:
    """completion, streamed, random prompts of a fixed length"""
    data = {
        "type": "random",
        "input_distribution": fixed(PROMPT),
        "output_distribution": fixed(OUTPUT),
    }
    summary = run(server, {"type": "completion", "streaming": True}, data)
    length = summary["successes"]["output_tokens"]
    assert length["min"] == length["max"] == OUTPUT, length


SHARED = {
    "type": "shared_prefix",
    "shared_prefix": {
        "num_groups": 2,
        "num_prompts_per_group": 5,
        "system_prompt_len": 32,
        "question_len": 16,
        "output_len": OUTPUT,
    },
}


def chat(server: "Server") -> None:
    """chat, streamed, prompts with a shared prefix"""
    run(server, {"type": "chat", "streaming": True}, SHARED)


def chat_whole(server: "Server") -> None:
    """chat, not streamed, response_format json_schema"""
    schema = {
        "type": "object",
        "properties": {"rain": {"type": "boolean"}},
        "required": ["rain"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "name": "weather", "json_schema": schema}
    run(server, {"type": "chat", "streaming": False, "response_format": form}, SHARED)


FEATURES = (completion, chat, chat_whole)
