"""The process around one engine: commands in on stdin, answers out, one JSON object a line.

    PYTHON -P benchmarks/peers/child.py ENGINE_FILE SETTINGS_JSON

    {"call": "decode", "arguments": {"prompts": [[5, 6], [7]], "new_tokens": 64}}
    {"result": {"tokens": [[...], [...]], "decode_ns": 123, "steps": 63}}

ENGINE_FILE defines a class Engine, made with the settings as keywords; its methods are the calls.
The first answer, {"result": {...}}, is what `describe` returns, once the engine is ready. Between
commands the process blocks on stdin. It ends with stdin, or with an engine's error, which goes to
stderr. Runs in a peer's environment, so it imports nothing but the standard library (-P keeps
our packages off the path: Transformers would take our `kernels` for its own).
"""

import json
import os
import runpy
import sys
from typing import Any, Protocol, TextIO, TypedDict


class Decoded(TypedDict):
    """Greedy continuations. decode_ns is the time from the step that gave each sequence its first
    token to the last token of all: `steps` steps of one token for each sequence."""

    tokens: list[list[int]]
    decode_ns: int
    steps: int


class Prefilled(TypedDict):
    """The time from a prompt to its first token, and that token."""

    token: int
    prefill_ns: int


class EngineLike(Protocol):
    """What an engine file's class Engine must offer. Prompts are token ids; no call leaves
    anything behind that would make a later one cheaper (such as cached prefixes)."""

    def describe(self) -> dict[str, str]:
        """Version and the settings that matter."""
        ...

    def decode(self, prompts: list[list[int]], new_tokens: int) -> Decoded: ...

    def prefill(self, prompt: list[int]) -> Prefilled: ...


def answer(out: TextIO, result: object) -> None:
    out.write(json.dumps({"result": result}) + "\n")
    out.flush()


def main(engine_file: str, settings: dict[str, Any]) -> None:
    # Engines print to stdout as they like; the answers have a descriptor of their own.
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as out:
        os.dup2(2, 1)
        engine: EngineLike = runpy.run_path(engine_file)["Engine"](**settings)
        answer(out, engine.describe())
        for line in sys.stdin:
            command = json.loads(line)
            answer(out, getattr(engine, command["call"])(**command["arguments"]))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(f"usage: {sys.argv[0]} ENGINE_FILE SETTINGS_JSON")
    main(sys.argv[1], json.loads(sys.argv[2]))
