"""People and what they may say to whom."""
