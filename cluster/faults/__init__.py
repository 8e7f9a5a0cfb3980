"""What goes wrong, on purpose: a scenario's `faults` as rules of the links that they are about."""
