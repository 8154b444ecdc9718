"""Plans, starts, watches and pronounces: the side of the boundary that must survive."""
