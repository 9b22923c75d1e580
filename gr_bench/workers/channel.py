"""The protocol between a coordinator and its worker processes: JSON, an object a line.

A worker that is ready says ``{"ready": true}``. A request goes in at its standard input; answers
come out of what was its standard output, any number of them, each as soon as it is known, and then
``{"done": true}``. What the measured code prints goes to the log. Beside it, a worker notes in a
small file which cells' code is about to run, so that the coordinator knows whose fault it is when
nothing comes back.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import IO, Any

Message = dict[str, Any]

AT_WORK_BYTES = 4096
"""The most that the note of who is at work can have."""


class TookTooLong(Exception):
    """A worker did not answer in time."""


class WorkerDied(Exception):
    """A worker ended without an answer."""


class Garbled(WorkerDied):
    """A worker wrote something that is no message; it cannot be understood any more."""


MOST_BYTES = 1 << 28
"""The longest message: what is longer is none."""


class Channel:
    """The coordinator's end.

    Args:
        requests: the worker's standard input.
        answers: the worker's standard output.
    """

    def __init__(self, requests: IO[bytes], answers: IO[bytes]) -> None:
        self._requests = requests
        self._answers = answers
        self._rest = bytearray()

    def fileno(self) -> int:
        """Of what can be read from, for a selector."""
        return self._answers.fileno()

    def send(self, request: Message) -> None:
        """Ask. To a worker that has died nothing is said: reading will tell."""
        with suppress(BrokenPipeError):
            self._requests.write(json.dumps(request).encode() + b"\n")

    def read(self) -> list[Message]:
        """The messages that have not been read; blocks only while there is nothing at all.

        Raises:
            WorkerDied: there will be nothing any more.
            Garbled: what was read is no message. Those before it are lost.
        """
        data = os.read(self._answers.fileno(), 1 << 20)
        if not data:
            raise WorkerDied
        *lines, rest = data.split(b"\n")
        if not lines:
            self._rest += rest
        else:
            lines[0] = bytes(self._rest) + lines[0]
            self._rest = bytearray(rest)
        if len(self._rest) > MOST_BYTES:
            raise Garbled(f"it wrote {MOST_BYTES >> 20} MiB without the end of a line")
        return [_message(line) for line in lines]

    def answer(self, timeout_s: float) -> Message:
        """The answer to a request that has one.

        Raises:
            TookTooLong: it has not come.
            WorkerDied: it will not.
        """
        answer: Message = {}
        while True:
            if not select.select([self._answers], [], [], timeout_s)[0]:
                raise TookTooLong
            for message in self.read():
                if message.get("done"):
                    return answer
                answer = message

    def close(self) -> None:
        """Close both ends: the end of its input is a worker's sign to leave."""
        for stream in (self._requests, self._answers):
            with suppress(OSError):
                stream.close()


def _message(line: bytes) -> Message:
    try:
        message = json.loads(line)
    except ValueError:
        message = None
    if not isinstance(message, dict):
        raise Garbled(f"it wrote {line[:60]!r} where its answers go")
    return message


def serve(handle: Callable[[Message], Iterator[Message]]) -> None:
    """The worker's end: answer requests until there are no more, or the coordinator has died.

    Args:
        handle: yields the answers to a request. What it raises ends the process.
    """
    die_with_parent()
    out = os.fdopen(os.dup(1), "w", buffering=1)
    requests = os.fdopen(os.dup(0))
    os.dup2(2, 1)  # a stray print must not be taken for an answer
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)  # nor a request for what was typed
    out.write('{"ready": true}\n')
    for line in requests:
        for message in handle(json.loads(line)):
            out.write(json.dumps(message) + "\n")
        out.write('{"done": true}\n')


def note_at_work(descriptor: int, names: Iterable[str]) -> None:
    """Note whose code is about to run; it takes a microsecond and wakes nobody."""
    line = " ".join(names).encode()[: AT_WORK_BYTES - 1]
    os.pwrite(descriptor, line + b"\n", 0)


def read_at_work(descriptor: int) -> list[str]:
    """The ids of the cells that were at work last; none if none was."""
    line, _, _ = os.pread(descriptor, AT_WORK_BYTES, 0).partition(b"\n")
    return line.decode(errors="replace").split()


def die_with_parent() -> None:
    """Have this process killed when its parent dies, so that no worker is left behind.

    Linux does it; elsewhere a thread looks every few seconds whether the parent is still there.
    """
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
        return
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(3)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()
