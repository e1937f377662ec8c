"""Stateful interfaces of the pure functions, for loops written elsewhere."""
