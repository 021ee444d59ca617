"""SockJS without I/O."""
