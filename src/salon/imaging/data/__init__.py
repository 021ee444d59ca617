"""The training set: packaged emoji art, its captions and its composed variants."""
