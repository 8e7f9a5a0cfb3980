"""Clients that people bring, each in an environment of its own, against `perfuse serve`."""
