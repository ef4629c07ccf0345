"""The tables of the station's database, and the upgrades from older versions.

A scan's `stream` (its number) and `sequence` are where its event was first; `place` is its sequence
in the current stream, 0 if its event was sent in an earlier one. An event's `id` is its first
identity where that is another one. A `digest` is the chain's after the event.
"""

VERSION = 6
"""The schema's version, kept in `PRAGMA user_version`."""

CHAINED_FROM = 4
"""The version from which events have digests. An upgrade starts the chain at the unsent ones."""

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

_IMAGE_ITEMS = """
ALTER TABLE images ADD COLUMN item TEXT NOT NULL DEFAULT '';
"""
"""The item whose event names the image: the cloud takes no other images."""

_PICTURES = """
CREATE TABLE pictures (
  sha256 BLOB PRIMARY KEY,
  scan TEXT NOT NULL,
  position INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""
"""The files that were counted, by the digest of their bytes, each with its newest scan."""

_STREAMS = """
CREATE TABLE streams (
  number INTEGER PRIMARY KEY,
  stream TEXT NOT NULL UNIQUE,
  acknowledged INTEGER NOT NULL,
  last INTEGER NOT NULL,
  time TEXT NOT NULL,
  opened_next BLOB NOT NULL
) STRICT;
"""
"""Earlier streams, each with the `StreamOpened` of the stream after it."""

_BOX = """
ALTER TABLE station ADD COLUMN box TEXT NOT NULL DEFAULT '';
"""
"""The hardware that the outbox was last used on."""

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
  defaults BLOB NOT NULL,
  stream_number INTEGER NOT NULL DEFAULT 1,
  digest BLOB NOT NULL DEFAULT x'',
  acknowledged_digest BLOB NOT NULL DEFAULT x'',
  tenant TEXT NOT NULL DEFAULT '',
  name TEXT NOT NULL DEFAULT '',
  cloud_database TEXT
) STRICT;
CREATE TABLE events (
  sequence INTEGER PRIMARY KEY,
  type TEXT NOT NULL,
  time TEXT NOT NULL,
  bootid TEXT NOT NULL,
  monotonic_ms INTEGER NOT NULL,
  clock_synced INTEGER NOT NULL,
  data BLOB NOT NULL,
  id TEXT NOT NULL DEFAULT '',
  digest BLOB NOT NULL DEFAULT x''
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
  type TEXT NOT NULL DEFAULT 'cardmint.card.scanned.v1',
  stream INTEGER NOT NULL DEFAULT 1,
  place INTEGER NOT NULL DEFAULT 0
) STRICT;
"""
    + _STREAMS
    + _PICTURES
    + """
CREATE TABLE tasks (
  task TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  opened TEXT NOT NULL,
  body BLOB NOT NULL,
  answered INTEGER NOT NULL DEFAULT 0
) STRICT;
"""
    + _IMAGES
    + _IMAGE_ITEMS
    + _BOX
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
    3: (
        _STREAMS,
        """
ALTER TABLE station ADD COLUMN stream_number INTEGER NOT NULL DEFAULT 1;
ALTER TABLE station ADD COLUMN digest BLOB NOT NULL DEFAULT x'';
ALTER TABLE station ADD COLUMN acknowledged_digest BLOB NOT NULL DEFAULT x'';
ALTER TABLE station ADD COLUMN tenant TEXT NOT NULL DEFAULT '';
ALTER TABLE station ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE station ADD COLUMN cloud_database TEXT;
ALTER TABLE events ADD COLUMN id TEXT NOT NULL DEFAULT '';
ALTER TABLE events ADD COLUMN digest BLOB NOT NULL DEFAULT x'';
ALTER TABLE scans ADD COLUMN stream INTEGER NOT NULL DEFAULT 1;
ALTER TABLE scans ADD COLUMN place INTEGER NOT NULL DEFAULT 0;
UPDATE scans SET place = sequence;
""",
    ),
    4: (_PICTURES,),
    5: (
        _IMAGE_ITEMS + _BOX,
        """
UPDATE images SET item =
    coalesce(json_extract(CAST(scans.data AS TEXT), '$.rescan_of'), scans.scan)
  FROM scans WHERE json_extract(CAST(scans.data AS TEXT), '$.image.sha256') = images.sha256;
""",
    ),
}
"""Statements that upgrade each version of the schema to the next."""
