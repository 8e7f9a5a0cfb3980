"""The memory of behaviour: what twelve scenarios do in the virtual world, record by record.

`scenarios` says what runs, `recording` turns a run into records and a file, `difference` says what
changed, kind by kind. `make golden` rewrites the files in `traces/` and prints what changed.
"""
