"""Messages over a network between the nodes' own links."""
