"""Transactions across partitions: the coordinator and what it keeps."""
