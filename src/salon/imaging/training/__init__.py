"""Training of the embedded model: batches, optimiser loop, checkpoints."""
