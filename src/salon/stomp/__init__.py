"""STOMP 1.0-1.2 without I/O."""
