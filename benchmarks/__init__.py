"""How fast the library is, and how much of the machine it uses."""
