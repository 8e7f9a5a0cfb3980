"""Prefill and decode: what a chip schedules, computes and reports."""
