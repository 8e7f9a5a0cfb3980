"""Memory tiers measured: what a tier of flash delivers, hides and amplifies."""
