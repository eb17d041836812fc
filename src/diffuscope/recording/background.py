"""One thread that works behind the run: jobs in order, bounded memory, failures brought back."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

Job = Callable[[], None]


class Background:
    """Does jobs one after another in a thread of its own.

    What waits is bounded by bytes and not by number, since the steps of one model are a thousand times as
    large as those of another: memory stays flat however far the disk lags behind.

    After a job has failed, later ones are dropped (what they write could not count without it), and `put` and
    `drain` raise the failure from then on.

    Attributes:
        failure: what the first failed job raised.
    """

    def __init__(self, name: str, max_bytes: int) -> None:
        """Start the thread.

        Args:
            name: of the thread.
            max_bytes: how much may wait; one job is always taken, however large.
        """
        self.failure: BaseException | None = None
        self._max_bytes = max_bytes
        self._jobs: deque[tuple[Job, int]] = deque()
        self._bytes = 0
        self._closing = False
        self._changed = threading.Condition()
        # A daemon, so that an interpreter that leaves without closing the run is not held up by it.
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def put(self, job: Job, nbytes: int = 0) -> None:
        """Hand over a job that holds `nbytes` of memory until it is done. Waits only while too much waits
        already.

        Raises:
            RuntimeError: after `close`.
            BaseException: whatever an earlier job raised.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self.failure or not self._jobs or self._bytes + nbytes <= self._max_bytes
            )
            if self.failure is not None:
                raise self.failure
            if self._closing:
                raise RuntimeError("the writer is closed")
            self._jobs.append((job, nbytes))
            self._bytes += nbytes
            self._changed.notify_all()

    def drain(self) -> None:
        """Wait until every job is done.

        Raises:
            BaseException: whatever an earlier job raised.
        """
        with self._changed:
            self._changed.wait_for(lambda: self.failure or not self._jobs)
            if self.failure is not None:
                raise self.failure

    @property
    def waiting(self) -> int:
        """How many jobs are not done, the one at work included."""
        return len(self._jobs)

    def close(self) -> None:
        """Do what waits (unless a job has failed), then end the thread. Raises nothing that jobs raised."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closing)
                if not self._jobs:
                    return
                # It stays in the queue while it is done, so that `drain` waits for it and its memory counts.
                job, nbytes = self._jobs[0]
            failure: BaseException | None = None
            try:
                job()
            except (
                BaseException
            ) as error:  # Whatever it is, it belongs to the thread that handed the job over.
                failure = error
            del job
            with self._changed:
                self._jobs.popleft()
                self._bytes -= nbytes
                if failure is not None:
                    self.failure = failure
                    self._jobs.clear()
                    self._bytes = 0
                self._changed.notify_all()
