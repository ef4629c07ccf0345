"""The station's database: one SQLite file with one writer. Each commit is durable."""

import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self
from uuid import UUID, uuid4

from cardmint_edge.adapters.durable_files import make_folder, sync_folder
from cardmint_edge.adapters.sqlite.event_rows import chain_unsent
from cardmint_edge.adapters.sqlite.schema import CHAINED_FROM, SCHEMA, UPGRADES, VERSION
from cardmint_edge.errors import Stop

PAGE_BYTES = 1024
"""Bytes. A card changes about six pages, and small pages write less (docs/decisions/0025)."""

CHECKPOINT_PAGES = 4000


class Database:
    """One connection behind one lock.

    Each sqlite3 error becomes a `Stop` with the file's name and the remedy.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, lock_fd: int | None) -> None:
        self.path = path
        self._connection = connection
        self._lock_fd = lock_fd
        self._mutex = threading.RLock()
        self._depth = 0
        self._commits = 0
        self._committed = threading.Condition()
        self._file = (0, 0)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the database as its only writer. A missing one is made.

        Raises:
            Stop: another process writes it, it is damaged or newer than this version, or it cannot
                be written.
        """
        try:
            make_folder(path.parent)
            lock_fd = _lock(path)
        except OSError as error:
            raise Stop(
                f"cannot write beside {path}: {error.strerror};"
                " give the agent's user a data folder that it may write"
            ) from error
        try:
            database = cls(_connect(path), path, lock_fd)
        except BaseException:
            os.close(lock_fd)
            raise
        try:
            database._prepare()
        except BaseException:
            database.close()
            raise
        return database

    @classmethod
    def open_read_only(cls, path: Path) -> Self:
        """Open an existing database to read it. The agent may be running.

        Raises:
            Stop: there is no database, or it is damaged or newer than this version.
        """
        if not path.exists():
            message = f"there is no outbox at {path}; it is made when `cardmint-edge run` starts"
            raise Stop(message)
        database = cls(_connect(path), path, None)
        try:
            with database._as_stop():
                database._connection.execute("PRAGMA query_only = ON")
            database._check_version()
        except BaseException:
            database.close()
            raise
        return database

    @staticmethod
    def is_taken(path: Path) -> bool:
        """Return whether an agent has the database open as its writer."""
        try:
            os.close(_lock(path))
        except Stop:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Close the file, and release the writer's lock."""
        with self._mutex, suppress(sqlite3.Error):
            self._connection.close()
        if self._lock_fd is not None:
            os.close(self._lock_fd)
            self._lock_fd = None

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Run a transaction, which is durable at the end of the block.

        A transaction within a transaction is part of it.

        Raises:
            Stop: the disk is full, read-only or failing. Nothing of the transaction is stored.
        """
        with self._mutex, self._as_stop():
            if self._depth == 0:
                self._connection.execute("BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield self._connection
                if self._depth == 1:
                    self._check_file()
                    self._connection.execute("COMMIT")
                    self._notify_commit()
            except BaseException:
                if self._depth == 1 and self._connection.in_transaction:
                    with suppress(sqlite3.Error):
                        self._connection.execute("ROLLBACK")
                raise
            finally:
                self._depth -= 1

    def _check_file(self) -> None:
        """Refuse to write into a file that was deleted or replaced: nobody could find it again."""
        try:
            found = self.path.stat()
        except OSError:
            found = None
        if found is None or (found.st_dev, found.st_ino) != self._file:
            raise Stop(
                f"{self.path} was deleted or replaced while the agent runs; nothing was stored."
                " Put the file back, or let the agent send what waits, then start it again"
            )

    def wait_for_commits(self, more_than: int, timeout_s: float) -> int:
        """Wait up to `timeout_s` for more than `more_than` commits, and return their number."""
        with self._committed:
            self._committed.wait_for(lambda: self._commits > more_than, timeout_s)
            return self._commits

    def _notify_commit(self) -> None:
        with self._committed:
            self._commits += 1
            self._committed.notify_all()

    def read(self, sql: str, *parameters: object) -> list[Any]:
        """Return the rows of one query."""
        with self._mutex, self._as_stop():
            return self._connection.execute(sql, parameters).fetchall()

    def _prepare(self) -> None:
        with self._as_stop():
            self._check_version()
            # Only a new file takes the page size; an existing one keeps its own.
            self._connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            mode = self.read("PRAGMA journal_mode = WAL")[0][0]
            if mode != "wal":
                raise Stop(
                    f"{self.path}: SQLite cannot use a write-ahead log here;"
                    " put the data on a local disk"
                )
            self._connection.execute("PRAGMA synchronous = FULL")
            file = self.path.stat()
            self._file = file.st_dev, file.st_ino
            self._connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            version = self.read("PRAGMA user_version")[0][0]
            if version == 0:
                self._make()
            elif version < VERSION:
                self._upgrade(version)
            verdict = self.read("PRAGMA quick_check(1)")[0][0]
            if verdict != "ok":
                raise _damaged(self.path, str(verdict))
            ((last, acknowledged),) = self.read("SELECT last, acknowledged FROM station")
            ((count, lowest, highest),) = self.read(
                "SELECT count(*), min(sequence), max(sequence) FROM events"
            )
            whole = (lowest, highest) == (acknowledged + 1, last) if count else acknowledged == last
            if count != last - acknowledged or not whole:
                raise _damaged(
                    self.path, f"{count} events are stored where {last - acknowledged} were counted"
                )

    def _make(self) -> None:
        with self.write() as tx:
            for statement in SCHEMA.split(";"):
                tx.execute(statement)
            stream = uuid4()
            tx.execute(
                "INSERT INTO station (only_row, stream, defaults) VALUES (1, ?, x'7B7D')",
                (str(stream),),
            )
            chain_unsent(tx, stream)
            tx.execute(f"PRAGMA user_version = {VERSION}")
        # The file's name must survive a power cut, as its bytes do.
        sync_folder(self.path.parent)

    def _upgrade(self, version: int) -> None:
        with self.write() as tx:
            for older in range(version, VERSION):
                for statement in ";".join(UPGRADES[older]).split(";"):
                    tx.execute(statement)
            if version < CHAINED_FROM:
                ((stream,),) = tx.execute("SELECT stream FROM station").fetchall()
                chain_unsent(tx, UUID(stream))
            tx.execute(f"PRAGMA user_version = {VERSION}")

    def _check_version(self) -> None:
        version = self.read("PRAGMA user_version")[0][0]
        if version > VERSION:
            raise Stop(
                f"{self.path} has schema version {version}, this agent knows {VERSION};"
                " install the newer agent again"
            )
        if version == 0 and self.read("SELECT count(*) FROM sqlite_master")[0][0]:
            raise _damaged(self.path, "it is another program's database")

    @contextmanager
    def _as_stop(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.IntegrityError as error:
            raise _damaged(self.path, str(error)) from error
        except sqlite3.OperationalError as error:
            message = (
                f"{self.path}: {error}; free space, or make the disk writable: nothing was stored"
            )
            raise Stop(message) from error
        except sqlite3.DatabaseError as error:
            raise _damaged(self.path, str(error)) from error


def _damaged(path: Path, what: str) -> Stop:
    return Stop(
        f"{path} is damaged: {what}; keep a copy of it, then move it away or restore a backup"
    )


def _connect(path: Path) -> sqlite3.Connection:
    try:
        return sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=5)
    except sqlite3.Error as error:
        message = f"cannot open {path}: {error}"
        raise Stop(message) from error


def _lock(path: Path) -> int:
    descriptor = os.open(
        path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600
    )
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        message = f"{path} belongs to another running agent; stop that one first"
        raise Stop(message) from None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor
