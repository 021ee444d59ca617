"""Engines behind the port ImageModel."""
