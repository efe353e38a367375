"""Independent jobs on a Ray cluster."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from itertools import islice
from typing import Any

from durian.errors import DurianError

_AHEAD = 2  # jobs handed over for each core, so that none waits for us


def run_on_ray(
    function: Callable[..., Any],
    jobs: Sequence[tuple],
    address: str,
    *,
    workers: int | None = None,
    gpus: float = 0.0,
) -> Iterator[Any]:
    """Call `function(*job)` for each job on a cluster and yield the results as they come.

    Tasks and not Ray Data: a job leaves its results on shared storage, and there is no data set to stream.
    A job whose machine dies is done again by another.

    Args:
        function: importable by the workers.
        jobs: arguments; all machines must see the files they name.
        address: of the cluster ("auto" finds the one of this machine), or "local" for one of its own.
        workers: cores of a local cluster; all by default.
        gpus: that a job needs; fractions share one.

    Raises:
        DurianError: Ray is not installed, or there is no such cluster; and what a job raises.
    """
    # Under `uv run` Ray would start its workers by uv too, in a copy of the working directory; where that
    # does not work it waits for them for ever. They are to be this very environment.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")
    try:
        ray: Any = import_module("ray")
    except ImportError as error:
        raise DurianError(
            "Ray is not installed: install durian with the extra 'cluster' (uv sync --extra cluster)"
        ) from error
    local = address == "local"
    if local:  # whoever runs a cluster has decided on Ray's usage statistics; nobody has on those of this one
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        ray.init(
            address=address,
            num_cpus=workers if local else None,
            include_dashboard=False if local else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except Exception as error:  # Ray raises no narrower one when its processes do not start in time
        ray.shutdown()
        problem = "Ray could not be started here" if local else "no Ray cluster there"
        raise DurianError(f"--ray {address}: {problem} ({str(error).splitlines()[0]})") from error
    try:
        task = ray.remote(function).options(num_gpus=gpus)
        limit = max(1, int(_AHEAD * ray.cluster_resources().get("CPU", 1)))
        waiting = iter(jobs)
        running = [task.remote(*job) for job in islice(waiting, limit)]
        while running:
            (finished,), running = ray.wait(running, num_returns=1)
            running += [task.remote(*job) for job in islice(waiting, 1)]
            yield _result(ray, finished)
    finally:
        ray.shutdown()  # of a cluster that is not ours it ends our jobs only


def _result(ray: Any, reference: Any) -> Any:
    try:
        return ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, DurianError):
            raise error.cause from None
        raise
    except ray.exceptions.RayError as error:
        raise DurianError(f"the Ray cluster gave up a job: {str(error).splitlines()[0]}") from error
