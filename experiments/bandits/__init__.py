"""Linear bandits, measured."""
