"""A job queue that nobody wrote for Bulkhead, and that uses no scripts: arq.

    arq_jobs.py PORT

Started by scripts/clients.sh. Jobs, a job that is asked for twice and runs once, one that is put off, one that is tried
again, one that fails, and one that is called off.
"""

import asyncio
import importlib.metadata
import logging
import sys

from arq import Retry, Worker, create_pool
from arq.connections import RedisSettings

SETTINGS = RedisSettings(port=int(sys.argv[1]), database=3)


async def add(_, a, b):
    return a + b


async def unsteady(context):
    if context["job_try"] < 3:
        raise Retry(defer=0)
    return context["job_try"]


async def fail(_):
    raise ValueError("as it should")


async def main():
    pool = await create_pool(SETTINGS)
    await pool.flushdb()
    jobs = [await pool.enqueue_job("add", number, number) for number in range(200)]
    once = await pool.enqueue_job("add", 1, 1, _job_id="once")
    assert await pool.enqueue_job("add", 1, 1, _job_id="once") is None
    later = await pool.enqueue_job("add", 1, 2, _defer_by=0.3)
    again = await pool.enqueue_job("unsteady")
    failing = await pool.enqueue_job("fail")
    never = await pool.enqueue_job("add", 0, 0, _defer_by=3600)
    workers = [
        Worker(
            functions=[add, unsteady, fail], redis_settings=SETTINGS, poll_delay=0.02, handle_signals=False, allow_abort_jobs=True
        )
        for _ in range(2)
    ]
    tasks = [asyncio.create_task(worker.async_run()) for worker in workers]

    async def result(job):
        return await job.result(timeout=30, poll_delay=0.02)

    assert [await result(job) for job in jobs] == [2 * number for number in range(200)]
    assert await result(once) == 2 and await result(later) == 3 and await result(again) == 3
    try:
        await result(failing)
        raise AssertionError("the job that fails did not")
    except ValueError:
        pass
    assert await never.abort(timeout=30, poll_delay=0.02)
    for worker in workers:
        await worker.close()
    await asyncio.gather(*tasks, return_exceptions=True)
    await pool.aclose()
    print(f"arq {importlib.metadata.version('arq')}: jobs by two workers, deferred, retried, failed, aborted: ok")


# What fails here fails on purpose.
logging.disable(logging.CRITICAL)
asyncio.run(main())
