"""Prices pushed to whoever watches, and orders worked off by whoever is free.

    python -m examples.ticker 8080

Destinations are written with dots. Clients SUBSCRIBE /topic/price.SALN and SEND
{"symbol": "SALN", "count": 3} to /app/order.place; workers SUBSCRIBE /queue/orders with
``ack:client-individual``. A slow watcher misses prices, but never gets an old one.
"""

import asyncio
import random
import sys
import time

import msgspec

from salon.gateway.server import listen
from salon.gateway.standalone import Standalone
from salon.messaging.grants import may_send, may_subscribe
from salon.messaging.mapping import message_mapping, send_to, transactional
from salon.messaging.message import Message
from salon.messaging.principal import Principal

SYMBOLS = ("SALN", "STMP", "SJS")


class Order(msgspec.Struct):
    symbol: str
    count: int
    buyer: str = ""


@message_mapping("order")
class Orders:
    @message_mapping("place")
    @send_to("/queue/orders")
    @transactional
    def place(self, payload: Order, who: Principal) -> Order:
        return Order(payload.symbol, payload.count, who.name)


class Timing:
    """An interceptor: how long handlers took, whether or not they failed."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def __call__(self, message: Message):
        began = time.monotonic()
        return lambda _, __: self.seconds.append(time.monotonic() - began)


class Ticker(Standalone):
    separator = "."
    controllers = (Orders(),)
    grants = (
        may_send("/app/order.place", "guest"),
        may_subscribe("/topic/*", "guest"),
        may_subscribe("/queue/orders", "guest"),
        may_subscribe("/user/queue/errors", "guest"),
    )

    def prepare(self) -> None:
        self.timing = Timing()
        self.interceptors = (self.timing,)

    async def push(self, every: float) -> None:
        prices = dict.fromkeys(SYMBOLS, 100.0)
        while True:
            for symbol in SYMBOLS:
                prices[symbol] *= random.uniform(0.99, 1.01)
                self.template.send(
                    f"/topic/price.{symbol}",
                    b"%.2f" % prices[symbol],
                    droppable=True,
                    coalesce=symbol,
                )
            await asyncio.sleep(every)


async def main(port: int) -> None:
    with listen("127.0.0.1", port) as listening:
        async with Ticker(listening) as app:
            print(f"ws://127.0.0.1:{app.port}/ws", flush=True)
            pushing = asyncio.create_task(app.push(0.1))
            await app.stopped()
            pushing.cancel()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
