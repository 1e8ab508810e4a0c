"""The registry's database: tables, engine, migrations."""
