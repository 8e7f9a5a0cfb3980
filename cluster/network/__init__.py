"""What lies between the nodes' own links: topologies as graphs of hops, and ways through them."""
