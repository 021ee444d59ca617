"""Destinations in the manner of Spring."""
