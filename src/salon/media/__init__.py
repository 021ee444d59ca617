"""Bytes with a name."""
