"""Try every door of a Ray cluster with the credentials that the environment has.

A program of its own, for Ray's Python. Arguments: the dashboard's address, GCS's, Ray Client's, and the
names of the doors. Prints a JSON object: for each door what came back, or the error.
"""

import json
import sys
import time

import ray
from ray.job_submission import JobSubmissionClient

DASHBOARD, GCS, CLIENT = sys.argv[1:4]


def job() -> str:
    jobs = JobSubmissionClient(DASHBOARD)
    submitted = jobs.submit_job(entrypoint="python -c 'print(6 * 7)'")
    while not jobs.get_job_status(submitted).is_terminal():
        time.sleep(0.2)
    return jobs.get_job_logs(submitted).strip()


def task() -> str:
    try:
        return str(ray.get(ray.remote(num_cpus=0)(lambda: 6 * 7).remote()))
    finally:
        ray.shutdown()


def driver() -> str:
    ray.init(GCS, log_to_driver=False)
    return task()


def client() -> str:
    for _ in range(3):
        try:
            ray.init(CLIENT, log_to_driver=False)
            return task()
        except (RuntimeError, ConnectionAbortedError) as error:
            # Who was let in gets a server of his own. One that is given the port of another that is still
            # ending never comes up; Ray gives it up after 30 seconds.
            if "Starting Ray client server failed" not in str(error):
                raise
    return "no server for this client"


told = {}
for door in sys.argv[4:]:
    try:
        told[door] = {"job": job, "driver": driver, "client": client}[door]()
    except Exception as error:
        told[door] = f"{type(error).__name__}: {error}"
print("TOLD " + json.dumps(told))
