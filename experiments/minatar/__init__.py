"""MinAtar's games in the compiled loop."""
