"""Memory tiers measured: what a tier of flash keeps, loses and wears."""
