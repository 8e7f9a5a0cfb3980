"""The kinds of traces: what their columns and keys mean."""
