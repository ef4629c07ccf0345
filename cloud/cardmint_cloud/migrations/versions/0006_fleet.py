"""Desired artifacts and settings of the fleet, and the settings that stations report."""

from alembic import op

revision = "0006"
down_revision = "0005"

STATEMENTS = """
CREATE TABLE fleet_wares (
    tenant text NOT NULL,
    ware text NOT NULL CHECK (ware IN ('catalogue', 'models')),
    manifest jsonb NOT NULL,
    published_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, ware)
);
CREATE TABLE desired_configs (
    tenant text NOT NULL,
    station text NOT NULL,
    desired jsonb NOT NULL,
    desired_at timestamptz NOT NULL,
    PRIMARY KEY (tenant, station)
);
ALTER TABLE stations ADD COLUMN reported jsonb, ADD COLUMN reported_at timestamptz;
"""


def upgrade() -> None:
    for statement in STATEMENTS.split(";\n"):
        if statement.strip():
            op.execute(statement)


def downgrade() -> None:
    op.execute("DROP TABLE fleet_wares")
    op.execute("DROP TABLE desired_configs")
    op.execute("ALTER TABLE stations DROP COLUMN reported, DROP COLUMN reported_at")
