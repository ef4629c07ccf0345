"""Tokens by which programs change cards."""

from alembic import op

revision = "0020"
down_revision = "0019"

_CHECK = "access_tokens_scope_check"


def upgrade() -> None:
    op.execute(f"ALTER TABLE access_tokens DROP CONSTRAINT {_CHECK}")
    op.execute(
        f"ALTER TABLE access_tokens ADD CONSTRAINT {_CHECK}"
        " CHECK (scope IN ('station', 'read', 'write', 'metrics'))"
    )


def downgrade() -> None:
    op.execute("DELETE FROM access_tokens WHERE scope = 'write'")
    op.execute(f"ALTER TABLE access_tokens DROP CONSTRAINT {_CHECK}")
    op.execute(
        f"ALTER TABLE access_tokens ADD CONSTRAINT {_CHECK}"
        " CHECK (scope IN ('station', 'read', 'metrics'))"
    )
