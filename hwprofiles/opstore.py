"""The op store: one SQLite file with every measured op, keyed by identity.

A rollback journal rather than a write-ahead log: a log cannot be read from a folder that is
read-only. A writer takes the file for milliseconds; whoever meets it waits up to ``BUSY_S``.
"""

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import fields
from pathlib import Path

from hwprofiles.calibration import Calibration, OpSample, TransferSample
from hwprofiles.errors import RecordError
from hwprofiles.grade import Grade
from hwprofiles.identity import Identity

SCHEMA = 1
BUSY_S = 30.0
FILE_NAME = "ops.sqlite"
OP_COLUMNS = tuple(f.name for f in fields(OpSample))
_TABLES = """
CREATE TABLE identities (key TEXT PRIMARY KEY, identity TEXT NOT NULL, context TEXT NOT NULL);
CREATE TABLE ops (
    key TEXT NOT NULL REFERENCES identities, signature TEXT NOT NULL, op_class TEXT NOT NULL,
    dtype TEXT NOT NULL, flop INTEGER NOT NULL, moved_bytes INTEGER NOT NULL,
    median_s REAL NOT NULL, iqr_s REAL NOT NULL, repeats INTEGER NOT NULL, grade INTEGER NOT NULL,
    PRIMARY KEY (key, signature)
);
CREATE TABLE transfers (
    key TEXT NOT NULL REFERENCES identities, payload_bytes INTEGER NOT NULL,
    median_s REAL NOT NULL, iqr_s REAL NOT NULL, PRIMARY KEY (key, payload_bytes)
);
CREATE TABLE scalars (
    key TEXT NOT NULL REFERENCES identities, name TEXT NOT NULL, value REAL NOT NULL,
    PRIMARY KEY (key, name)
);
CREATE TABLE sentinels (
    key TEXT NOT NULL REFERENCES identities, signature TEXT NOT NULL, median_s TEXT NOT NULL,
    PRIMARY KEY (key, signature)
);
"""


def home_folder(environ: Mapping[str, str]) -> Path:
    """Return the folder of foreplan's own files.

    ``$FOREPLAN_HOME``, else ``$XDG_DATA_HOME/foreplan``, else ``~/.local/share/foreplan``. Nothing
    is created.
    """
    if stated := environ.get("FOREPLAN_HOME"):
        return Path(stated).expanduser()
    if data := environ.get("XDG_DATA_HOME"):
        return Path(data) / "foreplan"
    return Path("~/.local/share/foreplan").expanduser()


class OpStore:
    """Measured ops in a file; holds no connection between calls, so it may cross a fork."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def at_home(cls, environ: Mapping[str, str], path: Path | None = None) -> "OpStore":
        """Return the store at ``path``, else the one in the :func:`home_folder`."""
        return cls(path or home_folder(environ) / FILE_NAME)

    def put(self, identity: Identity, calibration: Calibration) -> None:
        """Add measurements of ``identity`` in one transaction.

        A signature, scalar or sentinel measured before is replaced, others stay; transfers are one
        curve and are replaced together, unless ``calibration`` has none. Where the context changed,
        the ops that stay are demoted to ``FITTED``.

        Raises
        ------
        RecordError
            The file cannot be written, is no op store or has another schema.
        """
        key = identity.key
        context = json.dumps(dict(calibration.context), sort_keys=True)
        with self._sentence("written"):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with (
                closing(sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None)) as db,
                _transaction(db),
            ):
                if self._is_new(db):
                    for statement in _TABLES.split(";"):
                        db.execute(statement)
                    db.execute(f"PRAGMA user_version = {SCHEMA}")
                db.execute(
                    "UPDATE ops SET grade = ? WHERE key IN"
                    " (SELECT key FROM identities WHERE key = ? AND context != ?)",
                    (Grade.FITTED, key, context),
                )
                db.execute(
                    "INSERT OR REPLACE INTO identities VALUES (?, ?, ?)",
                    (key, json.dumps(identity.to_dict(), sort_keys=True), context),
                )
                _insert(db, key, calibration)

    def calibration(self, identity_key: str) -> Calibration | None:
        """Return all that is stored for an identity, None where nothing is.

        Raises
        ------
        RecordError
            The file cannot be read, is no op store or has another schema.
        """
        with self._sentence("read"), self._reader() as db:
            return _select(db, identity_key) if db else None

    def identities(self) -> list[Identity]:
        """Return every identity with measurements, by key.

        With :meth:`Identity.differs` they say why a measurement does not count here.

        Raises
        ------
        RecordError
            The file cannot be read, is no op store or has another schema.
        """
        with self._sentence("read"), self._reader() as db:
            rows = db.execute("SELECT identity FROM identities ORDER BY key") if db else ()
            return [Identity.from_dict(json.loads(text)) for (text,) in rows]

    @contextmanager
    def _reader(self) -> Iterator[sqlite3.Connection | None]:
        """Yield a connection that sees one state of all tables; None where nothing is stored."""
        if not self.path.exists():
            yield None
            return
        address = f"{self.path.resolve().as_uri()}?mode=ro"
        with closing(
            sqlite3.connect(address, uri=True, timeout=BUSY_S, isolation_level=None)
        ) as db:
            db.execute("BEGIN")
            yield None if self._is_new(db) else db

    def _is_new(self, db: sqlite3.Connection) -> bool:
        """Return whether the file holds no table yet; raise where its schema is another one."""
        (found,) = db.execute("PRAGMA user_version").fetchone()
        (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if found == 0 and tables == 0:
            return True
        if found != SCHEMA:
            raise RecordError(
                f"op store '{self.path}': expected schema {SCHEMA}, got {found}; move the file away"
                " and calibrate again"
            )
        return False

    @contextmanager
    def _sentence(self, verb: str) -> Iterator[None]:
        """Turn what SQLite and the file system raise into one sentence."""
        try:
            yield
        except (sqlite3.OperationalError, OSError) as error:
            locked = "locked" in str(error)
            hint = "try again when no other run writes" if locked else "set FOREPLAN_HOME elsewhere"
            raise RecordError(
                f"op store '{self.path}': cannot be {verb} ({error}); {hint}"
            ) from error
        except (sqlite3.Error, ValueError, TypeError, AttributeError) as error:
            raise RecordError(
                f"op store '{self.path}': expected measured ops, got damaged content ({error});"
                " move the file away and calibrate again"
            ) from error


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Hold the write lock from the start, so that two writers queue and neither fails."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _insert(db: sqlite3.Connection, key: str, calibration: Calibration) -> None:
    db.executemany(
        "INSERT OR REPLACE INTO ops VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [(key, *(getattr(op, name) for name in OP_COLUMNS)) for op in calibration.ops.values()],
    )
    if calibration.transfers:
        db.execute("DELETE FROM transfers WHERE key = ?", (key,))
    db.executemany(
        "INSERT INTO transfers VALUES (?, ?, ?, ?)",
        [(key, t.payload_bytes, t.median_s, t.iqr_s) for t in calibration.transfers],
    )
    db.executemany(
        "INSERT OR REPLACE INTO scalars VALUES (?, ?, ?)",
        [(key, name, value) for name, value in calibration.scalars.items()],
    )
    db.executemany(
        "INSERT OR REPLACE INTO sentinels VALUES (?, ?, ?)",
        [(key, name, json.dumps(values)) for name, values in calibration.sentinels.items()],
    )


def _select(db: sqlite3.Connection, key: str) -> Calibration | None:
    row = db.execute("SELECT context FROM identities WHERE key = ?", (key,)).fetchone()
    if row is None:
        return None
    ops = db.execute(
        f"SELECT {', '.join(OP_COLUMNS)} FROM ops WHERE key = ? ORDER BY signature", (key,)
    )
    samples = [dict(zip(OP_COLUMNS, values, strict=True)) for values in ops]
    transfers = db.execute(
        "SELECT payload_bytes, median_s, iqr_s FROM transfers WHERE key = ? ORDER BY payload_bytes",
        (key,),
    )
    scalars = db.execute("SELECT name, value FROM scalars WHERE key = ? ORDER BY name", (key,))
    sentinels = db.execute(
        "SELECT signature, median_s FROM sentinels WHERE key = ? ORDER BY signature", (key,)
    )
    return Calibration(
        ops={s["signature"]: OpSample(**{**s, "grade": Grade(s["grade"])}) for s in samples},
        transfers=tuple(
            TransferSample(payload_bytes=size, median_s=median, iqr_s=iqr)
            for size, median, iqr in transfers
        ),
        scalars=dict(scalars.fetchall()),
        sentinels={name: tuple(json.loads(text)) for name, text in sentinels},
        context=dict(json.loads(row[0])),
    )
