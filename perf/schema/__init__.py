"""What is written to files: cells, events, records, outcomes; standard library only."""
