"""Append and follow."""
