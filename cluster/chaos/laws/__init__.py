"""The six laws, each a function from what was heard and seen to the ways in which it was broken."""
