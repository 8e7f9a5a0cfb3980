"""What the wires cost: measured in processes of their own, all ways in turn in one run."""
