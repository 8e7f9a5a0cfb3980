"""Where requests are turned into work: a pure machine that decides, a journal that keeps what
happened, and a shell that speaks with gateways, chips and memory servers.
"""
