"""Copies of partitions on several brokers: leaders, followers, and what is in sync."""
