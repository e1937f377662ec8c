"""HyperAgent and the agents it is compared with on Atari."""
