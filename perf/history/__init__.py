"""Runs over time: an index of their folders, steps in their figures, and what may go."""
