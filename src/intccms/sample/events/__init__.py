"""Events and their branches.

In the order of the work: `kinds` and `generator` (`tops`, `bosons`), `reconstruction` (`leptons`,
`jets`), `collisions` (data), `tables` (`collections`, `scalars`).
"""
