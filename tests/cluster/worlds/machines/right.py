"""Whether a cluster on hosts answers right, and how soon it does again."""

import time

from benchmarks.ray.ray_hosts import Asked
from configs.perfuse_tiny import load_questions

QUESTIONS = load_questions()[:8]
ASKED = [question.question for question in QUESTIONS]
RIGHT = [question.answer for question in QUESTIONS]
BACK_S = 120.0


def all_right(asked: Asked) -> None:
    told = asked.ask("chat", ASKED)
    assert [one["text"] for one in told] == RIGHT, told


def right_again(asked: Asked) -> None:
    """Soon, at the latest when a link that broke without a word was noticed; never wrong."""
    ends_s = time.monotonic() + BACK_S
    while True:
        told = asked.ask("chat", ASKED)
        texts = [one["text"] for one in told]
        assert all(text in (None, right) for text, right in zip(texts, RIGHT, strict=True)), told
        if texts == RIGHT:
            return
        assert time.monotonic() < ends_s, told
        time.sleep(0.5)


def all_back(asked: Asked) -> dict[str, int]:
    """Once nobody is gone: node -> epoch."""
    ends_s = time.monotonic() + BACK_S
    while True:
        nodes = asked.ask("status")["nodes"]
        gone = {node: one["gone"] for node, one in nodes.items() if one["gone"]}
        if not gone:
            return {node: one["epoch"] for node, one in nodes.items()}
        assert time.monotonic() < ends_s, gone
        time.sleep(0.2)


def lets_go(asked: Asked) -> None:
    for _ in range(300):
        held = asked.ask("held")
        if not any(held.values()):
            return
    raise AssertionError(f"never let go: {held}")
