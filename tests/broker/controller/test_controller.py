"""Who lives, and who is told."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from salon.broker.controller.channel import QUEUED_MAX, ControllerChannel
from salon.broker.controller.controller import Controller
from salon.broker.errors import ApiError, Code
from salon.broker.protocol.versions import UPDATE_METADATA
from salon.broker.topics import Topics
from tests import engines
from tests.broker.cluster import Nodes, until


async def test_a_broker_that_does_nothing_is_told_a_bounded_lot():
    channel = ControllerChannel(2, 1, ("127.0.0.1", engines.free_port()))
    for _ in range(QUEUED_MAX):
        channel.send(UPDATE_METADATA, 7, b"")
    await asyncio.sleep(0)  # the first is on its way, for ever
    assert not channel.behind
    channel.send(UPDATE_METADATA, 7, b"")
    assert not channel.behind
    channel.send(UPDATE_METADATA, 7, b"")
    assert channel.behind
    await channel.close()


async def test_who_is_far_behind_has_to_register_anew(tmp_path):
    config = replace(Nodes(tmp_path, 1, {}).config(1), broker_session_timeout_ms=400)
    config.folder.mkdir(parents=True)
    topics = Topics(config.folder, config.topic_defaults)
    controller = Controller(config, topics, ThreadPoolExecutor(1))
    nowhere = ("127.0.0.1", engines.free_port())
    endpoints = {"CONTROL": nowhere, "BROKERS": nowhere, "PLAINTEXT": nowhere}
    epoch = await controller.register(2, endpoints)
    controller.heartbeat(2, epoch)
    controller._lives[2].channel.behind = True

    def refused() -> bool:
        try:
            controller.heartbeat(2, epoch)
        except ApiError as error:
            return error.code is Code.STALE_BROKER_EPOCH
        return False

    await until(refused)
    again = await controller.register(2, endpoints)
    assert again > epoch
    with pytest.raises(ApiError):
        controller.heartbeat(2, epoch)
    await controller.close()
