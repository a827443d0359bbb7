"""Finds an address and connects to it, again and again, after pauses that become longer and longer. Nothing here waits: only a
name server is asked in a thread of its own, as that may take long."""

import os
import socket
from typing import List, Optional

from ebpfless_arch.agent import stream
from ebpfless_arch.agent.endpoints import Endpoint, Place, look_up, places_at_once
from ebpfless_arch.kernel import signals

_FIRST_PAUSE_SECONDS, _LONGEST_PAUSE_SECONDS = 0.1, 5.0
_CONNECT_SECONDS = 5.0
_SEARCH_SECONDS = 0.05


class UnknownHost(OSError):
    """There is no such name."""


class Dialer:
    """`kind` is the type of socket. Whoever gets a stream from `seek` owns it, and says by `fail` when it is of no use any more."""

    def __init__(self, endpoint: Endpoint, kind: int = socket.SOCK_STREAM) -> None:
        self._endpoint = endpoint
        self._kind = kind
        self._places: List[Place] = []
        self._search: Optional[_Search] = None
        self._stream: Optional[stream.Stream] = None
        self._pause = _FIRST_PAUSE_SECONDS
        self._due = 0.0
        # Whether all addresses have been tried in vain, and the next round is to come.
        self.is_pausing = False
        # Where the last stream leads, or was to lead.
        self.place: Optional[Place] = None

    @property
    def connecting(self) -> Optional[stream.Stream]:
        """The stream that does not stand yet, to wait for."""
        return self._stream

    def patience(self, now: float) -> float:
        """Seconds until something is due, as long as there is no stream."""
        return _SEARCH_SECONDS if self._search is not None else max(0.0, self._due - now)

    def seek(self, now: float) -> Optional[stream.Stream]:
        """A stream, once it stands. Raises OSError when an attempt has failed."""
        if self._stream is None:
            self._begin(now)
        elif stream.is_writable(self._stream):
            self._stream.finish_connecting()
        elif now > self._due:
            raise OSError("no answer from %s" % self._endpoint.text)
        found = self._stream
        if found is None or not found.connected:
            return None
        self._stream = None
        return found

    def _begin(self, now: float) -> None:
        if not self._look(now):
            return
        self.is_pausing = False
        if not self._places:
            raise UnknownHost("no name server knows that host")
        self.place = self._places.pop(0)
        self._due = now + _CONNECT_SECONDS
        self._stream = stream.connect(self.place, self._kind)

    def _look(self, now: float) -> bool:
        """Whether it is time, and known where to connect to (or that nobody knows)."""
        if self._search is not None:
            if self._search.is_alive():
                return False
            self._places, self._search = self._search.places, None
        elif now < self._due:
            return False
        elif not self._places:
            found = places_at_once(self._endpoint)
            if found is None:
                self._search = _Search(self._endpoint)
                signals.start_without(self._search.start)
                return False
            self._places = found
        return True

    def fail(self, now: float, was_up: bool) -> None:
        """Try the next address at once, and all of them again after a pause; from the beginning if it had worked (`was_up`)."""
        self.close()
        if was_up:
            self._pause, self._places = _FIRST_PAUSE_SECONDS, []
        if self._places:
            self._due = now
        else:
            self.is_pausing = True
            self._due = now + self._pause * (0.8 + 0.4 * os.urandom(1)[0] / 255)
            self._pause = min(self._pause * 2, _LONGEST_PAUSE_SECONDS)

    def hurry(self) -> None:
        """Make the next attempt at once, at the first address."""
        self.is_pausing = False
        if self._stream is None:
            self._due, self._places = 0.0, []

    def succeed(self) -> None:
        """It has worked: the next pause is the first one again."""
        self._pause = _FIRST_PAUSE_SECONDS

    def close(self) -> None:
        """Give up what is under way."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None


class _Search:
    """Asks name servers."""

    def __init__(self, endpoint: Endpoint) -> None:
        import threading

        self._endpoint = endpoint
        self.places: List[Place] = []
        thread = threading.Thread(target=self._ask, daemon=True)
        self.start, self.is_alive = thread.start, thread.is_alive

    def _ask(self) -> None:
        try:
            self.places = look_up(self._endpoint)
        except OSError:
            self.places = []
