"""Runs one client's file in its environment against a server, and reads what came out."""

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks.clients.clients import Client, features_of
from benchmarks.clients.inside.child import Server
from benchmarks.clients.paths import INSIDE, python_of
from benchmarks.verify import Finished, run_command

TIMEOUT_S = 600  # of one file; load generators take the longest
# What a client would take from the user's own settings, or ask a network for.
STRIPPED = ("PYTHON", "VIRTUAL_ENV", "OPENAI_", "LANGCHAIN_", "LANGSMITH_", "LITELLM_")
SETTINGS = {
    "NO_PROXY": "127.0.0.1,localhost",
    "HF_HUB_OFFLINE": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "LANGSMITH_TRACING": "false",
    "DO_NOT_TRACK": "1",
}


@dataclass(frozen=True)
class Outcome:
    """One feature: it works where `why` is empty."""

    feature: str
    why: str
    seconds: float


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(STRIPPED)}
    return kept | SETTINGS


def run_client(client: Client, url: str, model: str, folder: Path, store: str) -> list[Outcome]:
    """Every feature of a client, file after file."""
    outcomes = []
    for path in client.paths:
        with tempfile.TemporaryDirectory(prefix=f"perfuse-{client.name}-") as temporary:
            scratch, results = Path(temporary, "scratch"), Path(temporary, "results.jsonl")
            scratch.mkdir()
            server = Server(f"{url}/v1", model, str(folder), store, str(scratch))
            given = (path, json.dumps(asdict(server)), results)
            finished = run_command(
                [str(word) for word in (python_of(client.name), "-P", INSIDE / "child.py", *given)],
                Path(temporary, "output.log"),
                TIMEOUT_S,
                environment=environment(),
                folder=scratch,
            )
            said = results.read_text(encoding="utf-8") if results.exists() else ""
        outcomes += outcomes_of(features_of(path), said, finished)
    return outcomes


def outcomes_of(features: Sequence[str], said: str, finished: Finished) -> list[Outcome]:
    """What came of each feature, those included that the child did not come to."""
    lines = [json.loads(line) for line in said.splitlines()]
    ended = {line["feature"]: Outcome(**line) for line in lines if "feature" in line}
    begun = {line["begins"] for line in lines if "begins" in line}
    last = finished.tail.splitlines()[-1] if finished.tail else "nothing said"
    how = f"exit code {finished.exit_code}: {last}"
    if finished.exit_code is None:
        how = f"stopped after {finished.elapsed_s:.0f} s"

    def lost(feature: str) -> Outcome:
        return Outcome(feature, how if feature in begun else f"not reached: {how}", 0)

    return [ended.get(feature) or lost(feature) for feature in features]
