"""People and programs limited to stations and lots; challenges that passkeys sign by themselves."""

from alembic import op

revision = "0022"
down_revision = "0021"

_LIMITED = ("accounts", "access_tokens", "account_links")
_OWN = "FROM items WHERE tenant = nullif(current_setting('cardmint.tenant', true), '')"
_FUNCTIONS = {
    # By the caller's rights: the policy of `items` decides which of them are within reach. In
    # plpgsql, so that no plan of who reaches everything pays for what is never asked.
    "cardmint_reaches_item(wanted uuid)": f"""
        RETURN EXISTS (SELECT {_OWN} AND item = wanted);""",
    "cardmint_reaches_event(about uuid)": f"""
        RETURN EXISTS (SELECT {_OWN} AND item = about)
            OR EXISTS (SELECT {_OWN} AND about = ANY (changes));""",
    "cardmint_reaches_printing(wanted text)": f"""
        RETURN EXISTS (SELECT {_OWN} AND card_id = wanted);""",
}


def upgrade() -> None:
    for table in _LIMITED:
        op.execute(
            f"ALTER TABLE {table} ADD COLUMN stations text[] NOT NULL DEFAULT '{{}}',"
            " ADD COLUMN lots text[] NOT NULL DEFAULT '{}'"
        )
    op.execute(
        """
        CREATE TABLE passkey_challenges (
            tenant text NOT NULL,
            challenge bytea NOT NULL,
            expires_at timestamptz NOT NULL,
            PRIMARY KEY (tenant, challenge)
        )
        """
    )
    for signature, body in _FUNCTIONS.items():
        op.execute(
            f"CREATE FUNCTION {signature} RETURNS boolean LANGUAGE plpgsql STABLE PARALLEL SAFE"
            f" COST 1 AS $$BEGIN {body} END$$"
        )


def downgrade() -> None:
    op.execute("DROP TABLE passkey_challenges")
    for signature in _FUNCTIONS:
        op.execute(f"DROP FUNCTION {signature} CASCADE")  # and the policies that ask it
    for table in _LIMITED:
        op.execute(f"ALTER TABLE {table} DROP COLUMN stations, DROP COLUMN lots")
