"""A network between the nodes' own links: each message is one flow over all that it crosses."""
