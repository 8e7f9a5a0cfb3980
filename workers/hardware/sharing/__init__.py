"""How a resource is shared by those who want it at once: policies that know no clock.

In order (`Fifo`, `Servers`) an end is certain when its flow joins. Under fair shares (`Fair`,
`Paths`) every later flow changes it: the policy names its next end, and nobody acts on another one.
"""
