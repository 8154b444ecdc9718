"""The tests, a regular package: a stray `tests` in an environment's packages would hide a bare folder."""
