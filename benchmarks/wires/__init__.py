"""The wires side by side: round trips between processes, and the native all-to-all."""
