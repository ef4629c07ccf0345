"""What the policies of tenants need: keys that begin with the tenant, and the ways around them.

The policies and grants themselves come from `adapters.postgres.row_security`, after every
migration.

- COPY cannot write to a table with a policy, and ingest needs COPY. So `items` becomes a table with
  one partition, as the log has one a month: queries go to the table, which has the policy; COPY goes
  to the partition, which the service may insert into and not read, and whose check holds every row
  to the tenant of its transaction.
- Workers ask a few questions about all tenants. Each is a function that runs with its owner's
  rights and returns names and keys.
- The service owns no table, so that it makes a month of the log by a function, too.
"""

from alembic import op

revision = "0015"
down_revision = "0014"

KEYED_BY_NUMBER = ("dead_letters", "quotes", "held_quotes")
ITEM_INDEXES = {
    "items_received": "(tenant, received_at, item)",
    "items_card": "(tenant, card_id, captured_at DESC)",
}
OWN_TENANT = """CHECK (
    coalesce(tenant = current_setting('cardmint.tenant', true), false) OR cardmint_owner())"""
"""The owner passes: workers of the version before, which still run, connect as the owner."""
OF_OWNER = "LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp"
ACROSS = """
DECLARE
    before text := current_setting('cardmint.tenant', true);
BEGIN
    PERFORM set_config('cardmint.tenant', '*', true);
    RETURN QUERY {query};
    PERFORM set_config('cardmint.tenant', coalesce(before, ''), true);
END
"""
QUESTIONS = {
    "across_tenants() RETURNS SETOF text": """
    WITH RECURSIVE found (name) AS (
        SELECT min(tenant) FROM watermarks
        UNION ALL
        SELECT (SELECT min(w.tenant) FROM watermarks w WHERE w.tenant > f.name)
          FROM found f WHERE f.name IS NOT NULL)
    SELECT name FROM found WHERE name IS NOT NULL""",
    "across_due(moment timestamptz) RETURNS SETOF text": """
    WITH RECURSIVE found (name) AS (
        SELECT min(tenant) FROM price_checks
        UNION ALL
        SELECT (SELECT min(p.tenant) FROM price_checks p WHERE p.tenant > f.name)
          FROM found f WHERE f.name IS NOT NULL)
    SELECT name FROM found f
     WHERE EXISTS (SELECT FROM price_checks p WHERE p.tenant = f.name AND p.due_at <= moment)""",
    "across_fleets() RETURNS SETOF text": """
    SELECT a.tenant FROM fleet_artifacts a UNION SELECT c.tenant FROM desired_configs c
     ORDER BY 1""",
    "across_unpublished(slots integer[], most integer) RETURNS TABLE (tenant text, task uuid)": """
    SELECT r.tenant, r.task FROM reviews r
     WHERE r.published_version < r.version
       AND get_byte(decode(md5(r.tenant || '/' || r.station), 'hex'), 0) % 64 = ANY(slots)
     ORDER BY r.opened_at LIMIT most""",
    "across_streams()"
    " RETURNS TABLE (tenant text, source text, stream uuid, sequence bigint, digest bytea)": """
    SELECT w.tenant, w.source, w.stream, w.sequence, w.digest FROM watermarks w
     WHERE w.source LIKE '/stations/%' AND w.updated_at > now() - interval '15 minutes'""",
}
MAKE_MONTH = """
DECLARE
    first date := date_trunc('month', month);
    next date := first + interval '1 month';
    name text := 'events_' || to_char(first, 'YYYY_MM');
    service record;
BEGIN
    IF to_regclass(name) IS NOT NULL THEN
        RETURN;
    END IF;
    EXECUTE format(
        'CREATE TABLE IF NOT EXISTS %I PARTITION OF events FOR VALUES FROM (%L) TO (%L)',
        name, first || ' 00:00+00', next || ' 00:00+00');
    -- Whoever may insert into the partition of the items may insert here.
    FOR service IN SELECT DISTINCT grantee FROM information_schema.role_table_grants
                    WHERE table_name = 'items_rows' AND privilege_type = 'INSERT' LOOP
        EXECUTE format('GRANT INSERT ON %I TO %I', name, service.grantee);
    END LOOP;
END
"""


def upgrade() -> None:
    for table in KEYED_BY_NUMBER:
        op.execute(
            f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey, ADD PRIMARY KEY (tenant, id)"
        )
    op.execute("DROP INDEX price_checks_due")
    op.execute("CREATE INDEX price_checks_due ON price_checks (tenant, due_at)")
    op.execute(
        """
        CREATE FUNCTION cardmint_owner() RETURNS boolean STABLE LANGUAGE sql AS $$
        SELECT pg_has_role(current_user, relowner, 'USAGE')
          FROM pg_catalog.pg_class WHERE oid = 'public.events'::regclass $$
        """
    )
    op.execute("ALTER TABLE items RENAME TO items_rows")
    op.execute("ALTER INDEX items_pkey RENAME TO items_rows_pkey")
    for index in ITEM_INDEXES:
        op.execute(f"ALTER INDEX {index} RENAME TO {index}_rows")
    op.execute(
        "CREATE TABLE items (LIKE items_rows INCLUDING DEFAULTS INCLUDING CONSTRAINTS)"
        " PARTITION BY HASH (tenant)"
    )
    op.execute("ALTER TABLE items ADD PRIMARY KEY (tenant, item)")
    for index, columns in ITEM_INDEXES.items():
        op.execute(f"CREATE INDEX {index} ON items {columns}")
    op.execute(
        "ALTER TABLE items ATTACH PARTITION items_rows FOR VALUES WITH (MODULUS 1, REMAINDER 0)"
    )
    for table in ("items", "events"):
        op.execute(f"ALTER TABLE {table} ADD CONSTRAINT {table}_own_tenant {OWN_TENANT}")
    bodies = {head: ACROSS.format(query=query) for head, query in QUESTIONS.items()}
    bodies["make_log_month(month date) RETURNS void"] = MAKE_MONTH
    for head, body in bodies.items():
        op.execute(f"CREATE FUNCTION {head} {OF_OWNER} AS $${body}$$")


def downgrade() -> None:
    op.execute(
        """
        DO $$
        DECLARE
            policy record;
        BEGIN
            FOR policy IN SELECT policyname, tablename FROM pg_policies
                           WHERE schemaname = 'public' LOOP
                EXECUTE format('DROP POLICY %I ON %I', policy.policyname, policy.tablename);
                EXECUTE format('ALTER TABLE %I DISABLE ROW LEVEL SECURITY', policy.tablename);
                EXECUTE format('ALTER TABLE %I NO FORCE ROW LEVEL SECURITY', policy.tablename);
            END LOOP;
        END $$
        """
    )
    for function in (
        "across_tenants()",
        "across_due(timestamptz)",
        "across_fleets()",
        "across_unpublished(integer[], integer)",
        "across_streams()",
        "make_log_month(date)",
    ):
        op.execute(f"DROP FUNCTION {function}")
    for table in ("items", "events"):
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_own_tenant")
    op.execute("DROP FUNCTION cardmint_owner()")
    op.execute("ALTER TABLE items DETACH PARTITION items_rows")
    op.execute("DROP TABLE items")
    op.execute("ALTER TABLE items_rows RENAME TO items")
    op.execute("ALTER INDEX items_rows_pkey RENAME TO items_pkey")
    for index in ITEM_INDEXES:
        op.execute(f"ALTER INDEX {index}_rows RENAME TO {index}")
    op.execute("DROP INDEX price_checks_due")
    op.execute("CREATE INDEX price_checks_due ON price_checks (due_at)")
    for table in KEYED_BY_NUMBER:
        op.execute(f"ALTER TABLE {table} DROP CONSTRAINT {table}_pkey, ADD PRIMARY KEY (id)")
