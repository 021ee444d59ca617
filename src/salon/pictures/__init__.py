"""A picture asked for in a conversation."""
