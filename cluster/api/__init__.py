"""What a user asks for, and what comes back: plain data that gateway, router and workload share."""
