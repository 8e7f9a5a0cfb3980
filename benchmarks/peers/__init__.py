"""Whole engines beside ours, on one model, in one run: vLLM's CPU build and llama.cpp.

    python -m benchmarks.peers.setup          environments, checkpoint and GGUF, once
    python -m benchmarks.peers [--json FILE]  the comparison

Each engine is a process of its own (child.py) that waits for commands, so that rounds interleave.
"""
