"""The three networks of the embedded model, in PyTorch (training only)."""
