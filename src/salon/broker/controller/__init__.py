"""Who leads what: the controller, what it tells the brokers, and how they answer."""
