"""OpenAI's HTTP API over a router: parsing, streaming, files, vector stores, health and metrics.

`cluster.gateway.http.server.serve` makes one; `client.RouterClient` is all it needs of a cluster.
See README.md beside this file for what is supported and what is refused.
"""
