"""Measures the harness itself; a regular package, since a stray one of this name in an environment would hide a bare folder."""
