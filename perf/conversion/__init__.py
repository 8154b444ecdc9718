"""A model made from a model: half precision, int8, inferred shapes, external data."""
