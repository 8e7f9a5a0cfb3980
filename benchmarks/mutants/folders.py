"""What is mutated, and which tests may notice."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("workers", "cluster/router", "cluster/faults")
# Tests of what stands on these folders or beside them; kernels, pages and benchmarks do not.
TESTS = ("tests/workers", "tests/cluster", "tests/golden")
