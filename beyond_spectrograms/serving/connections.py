"""Deadlines and limits by address for the connections of `serve`; uvicorn by itself has neither.

A connection that waits for its client (for the rest of a request, the next one, or that an answer is read) costs little
and may wait a while. It never keeps others out: where there are too many, the one that has waited longest is closed.
"""

import asyncio
import ipaddress
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol


@dataclass(frozen=True)
class Limits:
    """What clients may ask of the server.

    Attributes:
        request_s: seconds for a request's head, counted from the connection or the last answer; and between two signs
            that the client takes in an answer.
        body_s: seconds for its body.
        connections: open ones, of all addresses.
        of_address: open ones of one address.
        sounds: analysed or waiting for it, of all addresses. One is analysed at a time, so none takes longer than
            `sounds` times what they take alone.
        sounds_of_address: the same, of one address.
        bytes_held: of the sounds that are in memory, of all addresses; half as many of one.
    """

    request_s: float = 10
    body_s: float = 120
    connections: int = 512
    of_address: int = 256
    sounds: int = 3
    sounds_of_address: int = 2
    bytes_held: int = 500_000_000


def address_of(host: str) -> str:
    """Give what counts as one address: of IPv6 the 64 bits of a network, whose owner has all the rest."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False))


class Shares:
    """Something there is `total` of, of which an address may hold `of_address`."""

    def __init__(self, total: int, of_address: int) -> None:
        self._total, self._of_address = total, of_address
        self._held: Counter[str] = Counter()
        self._none_held = asyncio.Event()
        self._none_held.set()

    def take(self, address: str, amount: int) -> bool:
        """Take so much for an address; False where that is more than there is."""
        if not self.has(address, amount):
            return False
        self._held[address] += amount
        self._none_held.clear()
        return True

    def has(self, address: str, amount: int) -> bool:
        """Say whether an address may take so much."""
        return self._held[address] + amount <= self._of_address and self._held.total() + amount <= self._total

    def give_back(self, address: str, amount: int) -> None:
        """Give back what was taken."""
        self._held[address] -= amount
        if not self._held[address]:
            del self._held[address]
        if not self._held:
            self._none_held.set()

    async def wait(self, seconds: float) -> None:
        """Wait until none is held, but no longer than so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._none_held.wait()

    @contextmanager
    def hold(self, address: str) -> Iterator[bool]:
        """Hold one during the block; yield False where there is none left."""
        taken = self.take(address, 1)
        try:
            yield taken
        finally:
            if taken:
                self.give_back(address, 1)


class Crowd:
    """The open connections of each address, the oldest first."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._open: dict[str, dict[Connection, None]] = {}

    def enter(self, connection: "Connection") -> None:
        """Add a connection. Where there are too many, one is closed: see the module."""
        crowd = self._open.setdefault(connection.address, {})
        crowd[connection] = None
        if len(crowd) <= self.limits.of_address:
            if sum(map(len, self._open.values())) <= self.limits.connections:
                return
            crowd = max(self._open.values(), key=len)
        waiting = (each for each in crowd if each.waits_for_client and each is not connection)
        next(waiting, connection).drop()

    def leave(self, connection: "Connection") -> None:
        """Take a connection out; it may be out already."""
        same = self._open.get(connection.address, {})
        same.pop(connection, None)
        if not same:
            self._open.pop(connection.address, None)


class Connection(H11Protocol):
    """One connection: uvicorn's, with a deadline whenever it waits for its client."""

    def __init__(self, *arguments: Any, crowd: Crowd, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._crowd = crowd
        self._deadline: asyncio.TimerHandle | None = None
        self._unread = 0  # bytes of answers, when that was last looked at
        self.address = ""

    @property
    def waits_for_client(self) -> bool:
        """Whether no whole request is being answered, or the answer is not read."""
        return self._is_in_head or self.cycle.more_body or self.flow.write_paused

    @property
    def _is_in_head(self) -> bool:
        return self.cycle is None or self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Count it, and wait for a request."""
        super().connection_made(transport)
        self.address = address_of(self.client[0] if self.client else "")
        self._crowd.enter(self)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Count it no more."""
        self._crowd.leave(self)
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take in what comes. Only a whole head ends the deadline: a byte now and then does not."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Begin the deadline of the next request; what still comes of this one is thrown away until then."""
        self._disarm()
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        """Wait, but not for ever, for a client that reads slowly."""
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        """Go on."""
        super().resume_writing()
        self._watch()

    def shutdown(self) -> None:
        """End with the server: who still has to send something is not waited for."""
        if self.waits_for_client:
            self.drop()
        else:
            super().shutdown()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP, with the headers that all answers have."""
        self._refuse(400, msg)

    def drop(self) -> None:
        """Close at once, without a word."""
        self._crowd.leave(self)
        self.transport.abort()

    def _watch(self) -> None:
        """Begin or end the deadline, as this waits for its client or not."""
        if not (self._is_in_head or self.flow.write_paused or self.transport.is_closing()):
            self._disarm()
        elif self._deadline is None:
            self._arm()

    def _arm(self) -> None:
        self._unread = self.transport.get_write_buffer_size()
        self._deadline = self.loop.call_later(self._crowd.limits.request_s, self._be_late)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _be_late(self) -> None:
        self._deadline = None
        if 0 < self.transport.get_write_buffer_size() < self._unread:
            self._arm()
        elif self.conn.trailing_data[0] and self.conn.our_state is h11.IDLE and not self.transport.is_closing():
            self._refuse(408, f"The request was not whole after {self._crowd.limits.request_s:g} seconds.")
        else:
            self.transport.abort()

    def _refuse(self, status: int, reason: str) -> None:
        """Answer, without the application, and close."""
        headers = [*self.server_state.default_headers, (b"content-type", b"application/json")]
        response = h11.Response(
            status_code=status, headers=[*headers, (b"connection", b"close")], reason=STATUS_PHRASES[status]
        )
        for event in (response, h11.Data(data=json.dumps({"error": reason}).encode()), h11.EndOfMessage()):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
        self._watch()
