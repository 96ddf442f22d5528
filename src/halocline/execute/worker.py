"""The process at the far end of :mod:`halocline.execute.pool`.

It imports nothing heavy by itself, so that starting one costs little more than starting Python; what the tasks need is
imported when the function arrives.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import threading
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

from halocline.errors import HaloclineError, RunFailure


def main(descriptor: int) -> None:
    """Serve tasks that arrive through an inherited descriptor until the parent closes it or is gone.

    The first message is the function, each later one a task; each is answered by ``(succeeded, value)``.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Control-C reaches the whole group; the parent decides what happens
    connection = Connection(descriptor)
    messages: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    threading.Thread(target=_receive, args=(connection, messages), daemon=True).start()
    succeeded, function = _attempt(_load_function, messages.get())
    connection.send_bytes(_dump(succeeded, None if succeeded else function))
    while succeeded:
        message = messages.get()
        connection.send_bytes(_dump(*_attempt(lambda data: function(pickle.loads(data)), message)))


def _receive(connection: Connection, messages: queue.SimpleQueue[bytes]) -> None:
    """Pass messages on; when the parent is gone stop at once, even in the middle of a task."""
    while True:
        try:
            messages.put(connection.recv_bytes())
        except (EOFError, OSError):
            os._exit(1)


def _load_function(message: bytes) -> Callable[[Any], Any]:
    folders, data = pickle.loads(message)
    if folders:
        from pathlib import Path

        from halocline import registry

        for folder in folders:
            registry.add_plugin_folder(Path(folder))
    return pickle.loads(data)


def _attempt(function: Callable[[Any], Any], argument: Any) -> tuple[bool, Any]:
    try:
        return True, function(argument)
    except Exception as error:
        return False, error


def _dump(succeeded: bool, value: Any) -> bytes:
    """The answer as bytes; an answer that does not survive pickling is replaced by a failure that says so."""
    try:
        data = pickle.dumps((succeeded, value))
        pickle.loads(data)
        return data
    except Exception as error:
        if succeeded:
            failure: HaloclineError = RunFailure(
                f"the result cannot be sent between processes ({error})", type(value).__name__, "Return arrays and plain data."
            )
        else:
            where = traceback.extract_tb(value.__traceback__)[-1]
            failure = RunFailure(f"{type(value).__name__}: {value}", f"{where.filename}:{where.lineno}", "Read the message above.")
        return pickle.dumps((False, failure))
