"""What a handler may ask for: the message, its headers, those of its receipt."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from salon.messaging.principal import Principal
from salon.messaging.sessions import Session
from salon.stomp import frames


class Headers(Mapping[str, str]):
    """Headers of a frame; of a repeated one the first counts."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs: frames.Headers = ()) -> None:
        self._pairs = pairs

    def __getitem__(self, name: str) -> str:
        for key, value in self._pairs:
            if key == name:
                return value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self._pairs))

    def __len__(self) -> int:
        return len({name for name, _ in self._pairs})


class ReceiptHeaders(dict[str, str]):
    """Filled by a handler; becomes headers of the RECEIPT, if one was asked for."""


@dataclass(slots=True)
class Message:
    """A SEND or SUBSCRIBE on its way to a handler.

    Attributes:
        destination: as the client wrote it.
        path: the destination without the application prefix.
        variables: destination variables, set when a handler was found.
        receipt: headers for the RECEIPT.
        receipt_id: what the client calls it, if it wants one.
    """

    destination: str
    path: str
    headers: Headers
    body: bytes
    session: Session
    variables: dict[str, str] = field(default_factory=dict)
    receipt: ReceiptHeaders = field(default_factory=ReceiptHeaders)
    receipt_id: str | None = None

    @property
    def principal(self) -> Principal:
        return self.session.principal
