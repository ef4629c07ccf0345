"""A component of the station for tests."""

import threading
from collections.abc import Callable


class StoppableComponent:
    """Runs until it is stopped. With a task it runs the task and ends."""

    def __init__(self, task: Callable[[], None] | None = None) -> None:
        self._task = task
        self._stop = threading.Event()
        self.stopped = False

    def run(self) -> None:
        if self._task is not None:
            self._task()
        else:
            self._stop.wait(30)

    def stop(self) -> None:
        self.stopped = True
        self._stop.set()
