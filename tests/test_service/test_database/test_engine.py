"""SQLite as we open it: readers never wait, writers take turns, the schema is the code's."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from alembic import command
from sqlalchemy import inspect, text
from sqlalchemy.exc import IntegrityError, OperationalError

from service.database import engine as module
from service.database.engine import alembic_config, migrate, open_engine, writing
from service.database.tables import metadata
from service.registry import jobs

ROOT = Path(__file__).parents[3]
TURNS = 25

COUNT_UP = f"""
import sys
from sqlalchemy import text
from service.database.engine import open_engine, writing
engine = open_engine(sys.argv[1])
for _ in range({TURNS}):
    with writing(engine) as connection:
        seen = connection.execute(text("select n from counter")).scalar_one()
        connection.execute(text("update counter set n = :n"), {{"n": seen + 1}})
"""


def _url(engine):
    return engine.url.render_as_string()


def _pragma(engine, name):
    with engine.connect() as connection:
        return connection.execute(text(f"PRAGMA {name}")).scalar_one()


@pytest.fixture
def counter(engine):
    with writing(engine) as connection:
        connection.execute(text("create table counter (n integer)"))
        connection.execute(text("insert into counter values (0)"))
    return engine


def _value(engine):
    with engine.begin() as connection:
        return connection.execute(text("select n from counter")).scalar_one()


def test_every_connection_is_durable_and_concurrent(engine):
    full = 2
    assert _pragma(engine, "journal_mode") == "wal"
    assert _pragma(engine, "synchronous") == full
    assert _pragma(engine, "foreign_keys") == 1
    assert _pragma(engine, "busy_timeout") == module.BUSY_TIMEOUT_S * 1000


def test_the_folder_is_made(tmp_path):
    opened = open_engine(f"sqlite:///{tmp_path}/a/b/c.sqlite")
    assert _pragma(opened, "journal_mode") == "wal"
    opened.dispose()


def test_foreign_keys_hold(records):
    records.publish()
    with pytest.raises(IntegrityError), writing(records.engine) as connection:
        connection.execute(text("delete from versions"))


def test_a_transaction_that_raises_changes_nothing(counter):
    def fail():
        with writing(counter) as connection:
            connection.execute(text("update counter set n = 7"))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert _value(counter) == 0


def test_a_reader_sees_the_old_state_while_a_writer_writes(counter):
    with writing(counter) as connection:
        connection.execute(text("update counter set n = 7"))
        assert _value(counter) == 0
    assert _value(counter) == 7


def test_a_writer_holds_the_lock_from_its_first_moment(counter, monkeypatch):
    monkeypatch.setattr(module, "BUSY_TIMEOUT_S", 0)
    second = open_engine(_url(counter))
    with writing(counter), pytest.raises(OperationalError, match="locked"), writing(second):
        pass
    second.dispose()


def test_threads_that_read_then_write_lose_no_update(counter):
    failed = []

    def count_up():
        try:
            for _ in range(TURNS):
                with writing(counter) as connection:
                    seen = connection.execute(text("select n from counter")).scalar_one()
                    connection.execute(text("update counter set n = :n"), {"n": seen + 1})
        except OperationalError as error:
            failed.append(error)

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert _value(counter) == 4 * TURNS


@pytest.mark.slow
def test_processes_that_read_then_write_lose_no_update(counter):
    command_line = [sys.executable, "-c", COUNT_UP, _url(counter)]
    processes = [subprocess.Popen(command_line, cwd=ROOT) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]
    assert _value(counter) == 3 * TURNS


def test_migrating_again_keeps_what_is_there(records):
    job = records.stored_job()
    migrate(_url(records.engine))
    with records.engine.begin() as connection:
        assert connection.execute(text("select id from jobs")).scalar_one() == job.id


@pytest.mark.slow
def test_two_processes_migrate_a_new_database_at_once(tmp_path):
    url = f"sqlite:///{tmp_path}/new.sqlite"
    program = f"from service.database.engine import migrate; migrate({url!r})"
    processes = [
        subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(2)
    ]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors
    command.check(alembic_config(url))


def test_the_migrations_make_exactly_the_tables_of_the_code(engine):
    command.check(alembic_config(_url(engine)))


def test_a_table_that_no_migration_makes_is_noticed(engine):
    with writing(engine) as connection:
        connection.execute(text("drop table workers"))
    with pytest.raises(Exception, match="workers"):
        command.check(alembic_config(_url(engine)))


def test_down_and_up_again(engine):
    config = alembic_config(_url(engine))
    command.downgrade(config, "base")
    assert set(inspect(engine).get_table_names()) == {"alembic_version"}
    command.upgrade(config, "head")
    assert set(inspect(engine).get_table_names()) == {"alembic_version", *metadata.tables}
    command.check(config)


def test_jobs_of_the_schema_before_are_kept_and_have_no_result(records):
    config = alembic_config(_url(records.engine))
    command.downgrade(config, "0002")
    with writing(records.engine) as connection:
        connection.execute(
            text(
                "insert into jobs (id, tenant, kind, adapter, request, state, stage, progress, attempts, seconds, "
                "created_at) values ('job_old', 'default', 'adapt', 'a', '{}', 'succeeded', 'published', 1, 1, '{}', 1)"
            )
        )
    migrate(_url(records.engine))
    job = jobs.get(records.engine, "default", "job_old")
    assert (job.state, job.result) == ("succeeded", None)
    command.check(config)
