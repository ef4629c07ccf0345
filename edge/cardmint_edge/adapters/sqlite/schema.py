"""The tables of the station's database, and the upgrades from older versions."""

VERSION = 3
"""The schema's version, kept in `PRAGMA user_version`."""

_IMAGES = """
CREATE TABLE images (
  sha256 TEXT PRIMARY KEY,
  bytes INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  kept TEXT NOT NULL DEFAULT 'full' CHECK (kept IN ('full', 'thumbnail', 'none')),
  uploaded INTEGER NOT NULL DEFAULT 0,
  parked TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX images_waiting ON images (sequence)
  WHERE uploaded = 0 AND parked IS NULL AND kept = 'full';
"""

SCHEMA = (
    """
CREATE TABLE station (
  only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
  stream TEXT NOT NULL,
  last INTEGER NOT NULL DEFAULT 0,
  acknowledged INTEGER NOT NULL DEFAULT 0 CHECK (acknowledged <= last),
  epoch INTEGER NOT NULL DEFAULT 0,
  scanned INTEGER NOT NULL DEFAULT 0,
  parked INTEGER NOT NULL DEFAULT 0,
  defaults BLOB NOT NULL
) STRICT;
CREATE TABLE events (
  sequence INTEGER PRIMARY KEY,
  type TEXT NOT NULL,
  time TEXT NOT NULL,
  bootid TEXT NOT NULL,
  monotonic_ms INTEGER NOT NULL,
  clock_synced INTEGER NOT NULL,
  data BLOB NOT NULL
) STRICT;
CREATE TABLE scans (
  position INTEGER PRIMARY KEY,
  scan TEXT NOT NULL UNIQUE,
  sequence INTEGER NOT NULL,
  origin TEXT NOT NULL,
  time TEXT NOT NULL,
  data BLOB NOT NULL,
  fingerprint BLOB NOT NULL DEFAULT x'',
  withdrawn INTEGER NOT NULL DEFAULT 0,
  type TEXT NOT NULL DEFAULT 'cardmint.card.scanned.v1'
) STRICT;
CREATE TABLE tasks (
  task TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  opened TEXT NOT NULL,
  body BLOB NOT NULL,
  answered INTEGER NOT NULL DEFAULT 0
) STRICT;
"""
    + _IMAGES
)

UPGRADES = {
    1: (
        "DROP INDEX images_waiting; ALTER TABLE images RENAME TO images_1",
        _IMAGES,
        """
INSERT INTO images (sha256, bytes, sequence, uploaded, parked)
  SELECT sha256, bytes, coalesce((SELECT max(sequence) FROM events WHERE image = sha256), 0),
    uploaded, parked
  FROM images_1;
DROP TABLE images_1;
DROP INDEX events_image;
ALTER TABLE events DROP COLUMN image;
ALTER TABLE scans ADD COLUMN looks BLOB NOT NULL DEFAULT x'';
ALTER TABLE scans ADD COLUMN withdrawn INTEGER NOT NULL DEFAULT 0;
""",
    ),
    2: (
        """
ALTER TABLE station RENAME COLUMN batch TO defaults;
ALTER TABLE scans RENAME COLUMN looks TO fingerprint;
ALTER TABLE scans ADD COLUMN type TEXT NOT NULL DEFAULT 'cardmint.card.scanned.v1';
""",
    ),
}
"""Statements that upgrade each version of the schema to the next."""
