"""What bounds every wire between processes, and how long each waits."""

# One frame: 4096 tokens of DeepSeek-V3's hidden state (7168 values) in fp32 are 112 MiB.
MESSAGE_BYTES_MAX = 256 * 1024 * 1024
OUTBOX_BYTES = 16 * 1024 * 1024  # per peer: some milliseconds of a loopback's bandwidth
CONNECT_TIMEOUT_S = 10.0  # wall time: a dozen processes that start at once on two cores take 1-2 s
FLUSH_TIMEOUT_S = 1.0  # wall time that `close` gives to what is queued
