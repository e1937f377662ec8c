"""Sweeps over bsuite, compiled or with bsuite's own environments."""
