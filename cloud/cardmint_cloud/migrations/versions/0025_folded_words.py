"""Text folded alike whatever the database's locale, and what a person wrote to an item with it.

`cardmint_folded` takes marks off letters and makes them small, as `domain/folding.py` does: of Latin,
Greek, Cyrillic and Armenian letters by a list, since `lower` does it by the locale. It is written out
here, so that later versions of that module do not change what this migration makes.

The column is computed by the database: workers of the version before write rows without knowing it.
"""

import unicodedata

from alembic import op

revision = "0025"
down_revision = "0022"

_CAPITALS = [
    letter
    for letter in map(chr, range(0x80, 0x590))
    if len(letter.lower()) == 1
    and letter.lower() != letter
    and unicodedata.normalize("NFKD", letter) == letter
]
_FROM = "".join(_CAPITALS) + "ς"
_TO = "".join(map(str.lower, _CAPITALS)) + "σ"


def upgrade() -> None:
    op.execute(
        f"""
        CREATE FUNCTION cardmint_folded(text text) RETURNS text
        IMMUTABLE PARALLEL SAFE LANGUAGE sql AS $$
        SELECT CASE WHEN octet_length(text) = length(text) THEN lower(text COLLATE "C")
          ELSE replace(translate(lower(
            regexp_replace(normalize(text, NFKD), '[\\u0300-\\u036f]', '', 'g') COLLATE "C"
          ), '{_FROM}', '{_TO}'), 'ß', 'ss') END
        $$
        """
    )
    op.execute(
        """
        ALTER TABLE items ADD COLUMN written text NOT NULL
        GENERATED ALWAYS AS (cardmint_folded(bin || E'\\n' || lot || E'\\n' || note)) STORED
        """
    )


def downgrade() -> None:
    op.execute("ALTER TABLE items DROP COLUMN written")
    op.execute("DROP FUNCTION cardmint_folded(text)")
