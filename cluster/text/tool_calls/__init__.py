"""Calls of tools in what a model writes: one parser a family of chat templates, pure policy.

What is no well-formed call of a tool that was offered stays text, and is never lost.
"""
