"""Events a second of the virtual world's message path: `python -m benchmarks.events`.

`load` is the one driver, which knows no generation of the code; `this_tree` and `commit_086191e`
are its adapters.
"""
