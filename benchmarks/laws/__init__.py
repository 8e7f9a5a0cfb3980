"""The laws of emulated time and of requests, each measured: `python -m benchmarks.laws`.

A module of this package that does not begin with an underscore is one group of checks. It has
`rows(seed: int) -> Iterator[Row]`.
"""
