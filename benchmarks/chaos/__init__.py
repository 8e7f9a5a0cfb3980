"""What a cluster promises when something goes wrong, measured."""
