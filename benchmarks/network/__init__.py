"""Networks and parallelism: link sharing, incast, envelopes a second."""
