"""Packages of wire messages; each has its version as its last part."""
