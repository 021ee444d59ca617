"""Training: the embedded model's networks (loop.py), and all others (resumable.py)."""
