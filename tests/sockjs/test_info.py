"""What /info says."""

import json

from salon.sockjs import info


def test_info_has_the_four_fields():
    assert json.loads(info.body(7)) == {
        "websocket": True,
        "origins": ["*:*"],
        "cookie_needed": False,
        "entropy": 7,
    }
    assert json.loads(info.body(0, websocket=False))["websocket"] is False
    assert json.loads(info.body(0, cookie_needed=True))["cookie_needed"] is True
