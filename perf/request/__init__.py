"""What was asked for: flags, model lists, environments, tolerances."""
