"""What a run showed: summaries, tables and what the processes weigh. Every number says what it
is.
"""
