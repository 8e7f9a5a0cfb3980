"""Collectives among ranks: schedules of named algorithms, and groups that run them by messages."""
