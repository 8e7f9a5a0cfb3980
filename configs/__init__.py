"""What a cluster is: units, schema, presets, plan and the shipped model. Imports nothing else of
ours.

Facts and choices lie apart: `devices` and `links` hold one YAML file for each machine and link,
every figure with its unit and source, `models` the sizes of published models; `scenarios` hold
complete runs that name them, and `experiments` what is to break in some.
"""
