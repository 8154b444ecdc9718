"""Numbers that cannot be true, or mean something else: in published tables and in our runs."""
