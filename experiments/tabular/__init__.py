"""Tabular agents with guarantees, measured."""
