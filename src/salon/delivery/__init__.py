"""From accepted to every device."""
