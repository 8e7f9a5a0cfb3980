"""Networks, parallelism, and models of any size, beside formulas, references and published figures."""
