"""What memory servers do at scale, against the bars of their issues."""
