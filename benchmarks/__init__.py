"""What Salon costs, measured; never in the gate."""
