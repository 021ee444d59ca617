"""Salon: a self-hosted messenger in whose conversations pictures are made."""
