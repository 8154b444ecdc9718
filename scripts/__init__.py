"""Programs of the precision benchmark, by the names that its documents have."""
