"""One machine: chip, memory server, expert shard, and the Node that they stand on.

A worker is a plain class that is given its `Node`; it imports no ray, grpc, ucxx, time or random.
Several machines are the business of `cluster`; what sees no machine at all lives in `configs`,
`protos`, `kernels`.
"""
