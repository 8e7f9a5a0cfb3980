"""The demo's run proper, beside an earlier commit: `python -m benchmarks.demo`."""
