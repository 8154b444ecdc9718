"""One plan on many hosts: shards handed to an engine that labs already run, and their runs merged."""
