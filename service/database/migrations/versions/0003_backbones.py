"""Backbones of tenants, and results of jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "backbones",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("entry", sa.JSON(), nullable=False, comment="source and options, as they were asked for"),
        sa.Column("blobs", sa.JSON(), nullable=False, comment="digests of what was uploaded for it"),
        sa.Column("job", sa.String(length=40), nullable=False, comment="the job that hosts it"),
        sa.Column("card", sa.JSON(), nullable=True, comment="once it is hosted"),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_backbones")),
    )
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.add_column(
            sa.Column("result", sa.JSON(), nullable=True, comment="what it found, where that is no version")
        )


def downgrade() -> None:
    with op.batch_alter_table("jobs", schema=None) as batch_op:
        batch_op.drop_column("result")

    op.drop_table("backbones")
