"""One module per API: its key, its versions and what it does."""
