"""Models in numpy and torch, row by row. Exact mode: fp32, same bits whatever the batch."""
