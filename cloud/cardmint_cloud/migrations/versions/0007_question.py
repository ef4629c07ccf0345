"""The question of a review, apart from its reasons."""

from alembic import op

revision = "0007"
down_revision = "0006"

STATEMENTS = (
    "ALTER TABLE reviews ADD COLUMN question text NOT NULL DEFAULT 'printing'",
    # A second scan of the card may have put its own reasons in the place of the question's, which
    # the log has still.
    """
    UPDATE reviews r
       SET question = CASE WHEN 'possible-duplicate' = ANY (asked.reasons) THEN 'duplicate'
                           WHEN 'random-audit' = ANY (asked.reasons) THEN 'audit' ELSE 'printing' END
      FROM (SELECT o.tenant, o.task, coalesce(
                   (SELECT ARRAY(SELECT jsonb_array_elements_text(e.data::jsonb -> 'reasons')) FROM events e
                     WHERE e.tenant = o.tenant AND e.subject = o.item AND e.type = 'cardmint.review.opened.v1'
                       AND (e.data::jsonb ->> 'task')::uuid = o.task ORDER BY e.position LIMIT 1), o.reasons) AS reasons
              FROM reviews o WHERE o.counted IS NOT NULL) asked
     WHERE r.tenant = asked.tenant AND r.task = asked.task""",
    """
    UPDATE reviews SET candidates = jsonb_build_array(jsonb_build_object('card', counted, 'confidence', 0.0))
     WHERE counted IS NOT NULL AND candidates = '[]'""",
)


def upgrade() -> None:
    for statement in STATEMENTS:
        op.execute(statement)


def downgrade() -> None:
    op.execute("ALTER TABLE reviews DROP COLUMN question")
