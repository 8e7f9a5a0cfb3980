"""The files that put a cluster on other machines (deploy/): what they say, and that they agree."""
