"""Statistics over stored samples, pure and without a dependency."""
