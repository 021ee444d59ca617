"""A Kafka for one machine: the wire protocol, the request pipeline and the log."""
