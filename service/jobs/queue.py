"""The durable queue. The only file that knows DBOS.

A job is one workflow of two checkpointed steps, `fit` and `publish`; its id is the workflow's id, so that submitting
twice is submitting once. A worker that dies between the steps does not fit again. Values cross as portable JSON, never
pickled. The queue has a database file of its own: its polling never waits for the registry's writers.
"""

from collections.abc import Callable, Sequence
from typing import Any

from dbos import DBOS, DBOSClient, DBOSConfig, DBOSPortableJSONSerializer, run_dbos_database_migrations

from service.database.engine import locked, open_engine

APPLICATION = "graft"
QUEUE = "fits"
WORKFLOW = "adapt"
RELEASE = "1"
"""Version of the steps' order and values. By default DBOS hashes the source, and every deployment would strand jobs."""

POLL_S = 0.2
PRIORITY = 100

RETRIES: dict[str, Any] = {"retries_allowed": True, "max_attempts": 4, "interval_seconds": 1.0, "backoff_rate": 3.0}
"""A step raises only when something of ours is away (the database, the disk): it is tried again within some 13 s."""

WAITING = frozenset({"ENQUEUED", "DELAYED"})
PENDING = "PENDING"


def prepare(url: str) -> None:
    """Create or migrate the queue's database; several processes may call it at once."""
    with locked(url):
        _set_wal(url)
        run_dbos_database_migrations(url)


def _set_wal(url: str) -> None:
    """Set WAL, which stays in the file. DBOS opens its own connections: it begins every transaction as a writer."""
    engine = open_engine(url)
    with engine.begin():
        pass
    engine.dispose()


class Submitter:
    """The HTTP process's side: it puts jobs into the queue and takes them out."""

    def __init__(self, url: str) -> None:
        self._client = DBOSClient(
            system_database_url=url, application_name=APPLICATION, serializer=DBOSPortableJSONSerializer()
        )

    def submit(self, job_id: str) -> None:
        """Queue a job; one that is queued already stays as it is."""
        self._client.enqueue(
            {
                "queue_name": QUEUE,
                "workflow_name": WORKFLOW,
                "workflow_id": job_id,
                "app_version": RELEASE,
                "priority": PRIORITY,
                "application_name": APPLICATION,
            },
            job_id,
        )

    def cancel(self, job_id: str) -> None:
        """Take a job out of the queue, or stop it between its steps."""
        self._client.cancel_workflow(job_id)

    def standings(self, job_ids: Sequence[str]) -> dict[str, tuple[str, str | None]]:
        """Status and executor of each job that the queue knows."""
        if not job_ids:
            return {}
        found = self._client.list_workflows(workflow_ids=list(job_ids), load_input=False, load_output=False)
        return {item.workflow_id: (item.status, item.executor_id) for item in found}

    def resume(self, job_ids: Sequence[str]) -> None:
        """Queue jobs again that a dead worker held; finished steps are not run again."""
        self._client.resume_workflows(list(job_ids), queue_name=QUEUE)

    def close(self) -> None:
        """Let the connections go."""
        self._client.destroy()


class Runner:
    """The worker's side: it runs jobs, one at a time."""

    def __init__(
        self,
        url: str,
        executor: str,
        fit: Callable[[str], dict[str, Any] | None],
        publish: Callable[[str, dict[str, Any]], None],
    ) -> None:
        self._url = url
        self._executor = executor
        self._fit = fit
        self._publish = publish

    def launch(self) -> None:
        """Begin to take jobs, in threads of this process."""
        config = DBOSConfig(
            name=APPLICATION,
            system_database_url=self._url,
            executor_id=self._executor,
            application_version=RELEASE,
            serializer=DBOSPortableJSONSerializer(),
            run_migrations=False,
            log_level="ERROR",
            enable_otlp=False,
        )
        DBOS(config=config)

        @DBOS.step(name="fit", **RETRIES)
        def fit(job_id: str) -> dict[str, Any] | None:
            return self._fit(job_id)

        @DBOS.step(name="publish", **RETRIES)
        def publish(job_id: str, outcome: dict[str, Any]) -> None:
            self._publish(job_id, outcome)

        @DBOS.workflow(name=WORKFLOW, max_recovery_attempts=1_000)
        def adapt(job_id: str) -> None:
            outcome = fit(job_id)
            if outcome is not None:
                publish(job_id, outcome)

        DBOS.launch()
        DBOS.register_queue(QUEUE, worker_concurrency=1, polling_interval_sec=POLL_S)

    def close(self) -> None:
        """Stop taking jobs."""
        DBOS.destroy(workflow_completion_timeout_sec=0)
