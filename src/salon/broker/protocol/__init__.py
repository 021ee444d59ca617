"""Kafka's wire format: hand-made for the hot requests, kio for all others."""
