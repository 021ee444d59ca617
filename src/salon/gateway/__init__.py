"""Sockets and who may hold one."""
