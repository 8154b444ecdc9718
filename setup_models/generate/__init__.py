"""Recipes of the offline models: each module builds some of them from a seed, without torch or network."""
