"""Networks, parallelism, models of any size: beside formulas, references, published figures."""
