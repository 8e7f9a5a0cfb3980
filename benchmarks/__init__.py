"""Commands that measure, each with a bar that it must hold; `benchmarks.verify` runs them all."""
