"""Tiers with banks, beside hand arithmetic and beside themselves page by page."""
