"""The guest pages of a Spring-style STOMP chat."""
