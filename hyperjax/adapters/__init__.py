"""Stateful faces of the pure functions, for loops written elsewhere."""
