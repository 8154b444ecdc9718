"""The machine as it is: system, GPUs, energy, processes, and the lock on its quiet."""
