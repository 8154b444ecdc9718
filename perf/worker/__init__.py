"""Runs inside children that may die at any line, and tells facts as it goes."""
