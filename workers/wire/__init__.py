"""How nodes talk: messages, endpoints and their calls, links and what goes wrong there, wires."""
