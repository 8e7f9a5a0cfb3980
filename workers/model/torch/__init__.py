"""Real activations from a Hugging Face folder. Exact mode: fp32, same bits whatever the batch."""
