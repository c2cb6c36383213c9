"""A job queue that nobody wrote for Bulkhead, and that leans on scripts: RQ.

    rq_jobs.py PORT

Started by scripts/clients.sh. Jobs, a job that waits for another one, one that is tried again, and one that fails.
"""

import importlib.metadata
import logging
import sys

import redis
from rq import Queue, Retry, SimpleWorker


def add(a, b):
    return a + b


def unsteady(key):
    if redis.Redis(port=int(sys.argv[1]), db=4).incr(key) < 3:
        raise ValueError("not yet")
    return "at last"


def fail():
    raise ValueError("as it should")


def main():
    # Jobs are named by their module: this file under its own name.
    import rq_jobs as this

    connection = redis.Redis(port=int(sys.argv[1]), db=4)
    connection.flushdb()
    queue = Queue("queue", connection=connection)
    jobs = [queue.enqueue(this.add, number, number) for number in range(100)]
    behind = queue.enqueue(this.add, 1, 2, depends_on=jobs)
    again = queue.enqueue(this.unsteady, "tries", retry=Retry(max=3))
    failing = queue.enqueue(this.fail)
    SimpleWorker([queue], connection=connection).work(burst=True, logging_level="CRITICAL")
    assert [job.return_value() for job in jobs] == [2 * number for number in range(100)]
    assert behind.return_value() == 3 and again.return_value() == "at last"
    assert failing.get_status(refresh=True) == "failed" and len(queue.failed_job_registry) == 1
    print(f"rq {importlib.metadata.version('rq')}: jobs, dependencies, retried, failed: ok")


if __name__ == "__main__":
    # What fails here fails on purpose.
    logging.disable(logging.CRITICAL)
    main()
