"""Where a run's energy went, whether it adds up, and what it comes to in tokens, money and CO2e."""
