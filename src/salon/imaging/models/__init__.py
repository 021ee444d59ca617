"""Networks, in PyTorch, and what of them lies on the disk."""
