"""(user, terminal) to server, and presence."""
