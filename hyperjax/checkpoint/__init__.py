"""Checkpoints of the whole state of a run."""

from hyperjax.checkpoint.checkpointer import Checkpointer
