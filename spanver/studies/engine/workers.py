"""Points on many processes: joblib by default, Dask where a scheduler is named; the same results either way.

A point is a pure function of its own seed, so neither order, nor the number of workers, nor a worker that is killed
and whose points run again, changes a number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import Any

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError
from threadpoolctl import threadpool_limits

from spanver.errors import MissingExtraError, SpanverError
from spanver.randomness import derived_seed
from spanver.studies.catalogue import STUDIES
from spanver.studies.engine.store import revision
from spanver.studies.engine.study import Measurement, Point

RESTARTS = 3  # of the pool, without a point finished in between


def _measure(point: Point, seed: int, expected: str) -> Measurement:
    if revision() != expected:
        raise SpanverError(f"a worker has other code than this process (revision {revision()}, here {expected})")
    own = replace(point, seed=derived_seed(seed, f"study {point.study} {point.seed}"))
    with threadpool_limits(limits=1):  # the machine's processors are shared out among points already
        return Measurement(point, STUDIES[point.study].measure(own))


def measure_on_processes(points: Sequence[Point], *, seed: int, workers: int) -> Iterator[Measurement]:
    """Measure points in processes of this machine, and yield each as it ends.

    Parameters
    ----------
    points : sequence of Point
    seed : int
        Of the run: what each point's own is derived from.
    workers : int

    Raises
    ------
    SpanverError
        If workers die again and again.
    """
    left = dict.fromkeys(points)
    failures = 0
    while left:
        with parallel_config(backend="loky", n_jobs=workers):
            pool = Parallel(return_as="generator_unordered", batch_size=1)
            try:
                for measured in pool(delayed(_measure)(point, seed, revision()) for point in tuple(left)):
                    del left[measured.point]
                    failures = 0
                    yield measured
            except TerminatedWorkerError as error:
                failures += 1
                if failures > RESTARTS:
                    raise SpanverError(f"worker processes keep dying: {error}") from error


def measure_on_dask(points: Sequence[Point], *, seed: int, scheduler: str, workers: int) -> Iterator[Measurement]:
    """Measure points on a Dask cluster, and yield each as it ends; points of a worker that dies run elsewhere.

    Parameters
    ----------
    points : sequence of Point
    seed : int
        Of the run: what each point's own is derived from.
    scheduler : str
        Address, or `local` for a cluster of processes on this machine.
    workers : int
        Of a local cluster.

    Raises
    ------
    MissingExtraError
        If Dask is not installed.
    SpanverError
        If there is no scheduler at the address, or a worker there has other code.
    """
    with _client(scheduler, workers) as (client, as_completed):
        futures = client.map(_measure, list(points), seed=seed, expected=revision(), pure=False, retries=RESTARTS)
        for future in as_completed(futures):
            yield future.result()


@contextmanager
def _client(scheduler: str, workers: int) -> Iterator[tuple[Any, Any]]:
    try:
        distributed: Any = import_module("distributed")
    except ImportError:
        raise MissingExtraError("a Dask scheduler", "distributed", "dask") from None
    if scheduler == "local":
        with (
            distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
            distributed.Client(cluster) as client,
        ):
            yield client, distributed.as_completed
        return
    try:
        client = distributed.Client(scheduler, timeout="10s")
    except (OSError, ValueError) as error:
        raise SpanverError(f"no Dask scheduler answers at {scheduler} ({error})") from error
    with client:
        yield client, distributed.as_completed
