"""Signatures."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "signatures",
        sa.Column("tenant", sa.String(length=64), nullable=False),
        sa.Column("id", sa.String(length=40), nullable=False, comment="digest of what they say"),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("blob", sa.String(length=64), nullable=False, comment="digest of the table (safetensors)"),
        sa.Column("facts", sa.JSON(), nullable=False, comment="counts, groups, backbone, notes"),
        sa.Column("created_at", sa.Float(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "id", name=op.f("pk_signatures")),
    )
    op.create_index(op.f("ix_signatures_blob"), "signatures", ["blob"], unique=False)


def downgrade() -> None:
    op.drop_index(op.f("ix_signatures_blob"), table_name="signatures")
    op.drop_table("signatures")
