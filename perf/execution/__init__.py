"""A run from its first launch to its last record, whoever carries the launches out."""
