"""Version 1 of what crosses a wire."""
