"""`python -m perf.post`: the name by which the predecessor posted."""
