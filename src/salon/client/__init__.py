"""A STOMP client for asyncio: subscribe, send with receipt, come back and resume."""
