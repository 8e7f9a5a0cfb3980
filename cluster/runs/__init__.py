"""Running a scenario's workload in any world: what commands and benchmarks share."""
