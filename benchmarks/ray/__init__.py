"""The cluster on several hosts of this machine, each with a network and a clock of its own."""
