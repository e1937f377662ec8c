"""The published figures and tables, one command each."""
