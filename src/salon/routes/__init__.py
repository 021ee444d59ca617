"""User to the servers that hold connections of theirs."""
