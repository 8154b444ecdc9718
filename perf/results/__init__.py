"""Records turned into rows, rows into tables, and where a run's files lie."""
