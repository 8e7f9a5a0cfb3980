"""A chip of several ranks: who leads, who follows, and what passes between them."""
