"""Would the tests notice? Faults planted one at a time, at random, each in a copy of the tree.

    sites ──▶ a mutant ──▶ copy of the tree ──▶ tests that run its line ──▶ found, or unnoticed
    (cosmic-ray's           (never the working          (`seen`, measured
     operators, `rules`)     tree itself)                 once a tree)

`make mutants`. What is unnoticed is read: it gets a test, or stands with its reason in
`equivalent.yaml`.
"""
