"""Two runs in, verdicts out; knows nothing of running."""
