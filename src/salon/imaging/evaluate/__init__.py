"""Measuring a picture model: the same prompts and seeds for ever, one JSON, one sheet."""
