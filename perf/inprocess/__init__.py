"""Launches without processes, for a debugger, in the interpreter that is running."""
