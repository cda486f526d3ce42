"""Points on many processes: joblib by default, Dask where a scheduler is named; the same results either way.

A point is a pure function of its own seed, so neither order, nor the number of workers, nor a worker that is killed
and whose points run again, changes a number.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from joblib import Parallel, delayed, parallel_config
from joblib.externals.loky.process_executor import TerminatedWorkerError
from threadpoolctl import threadpool_limits

from spanver.errors import MissingExtraError, SpanverError
from spanver.studies.points import Measured, Numbers, Point

__all__ = ["measured_by_dask", "measured_by_joblib"]

Measure = Callable[[Point], Numbers]
RESTARTS = 3  # of the pool, without a point finished in between


def _one(measure: Measure, point: Point) -> Measured:
    with threadpool_limits(limits=1):  # the machine's processors are shared out among points already
        return Measured(point, measure(point))


def measured_by_joblib(measure: Measure, points: Sequence[Point], *, workers: int) -> Iterator[Measured]:
    """Measure points in processes, and yield each as it ends.

    Raises
    ------
    SpanverError
        If workers die again and again.
    """
    left = {point.key: point for point in points}
    failures = 0
    while left:
        with parallel_config(backend="loky", n_jobs=workers):
            results = Parallel(return_as="generator_unordered")(delayed(_one)(measure, point) for point in tuple(left.values()))
            try:
                for measured in results:
                    left.pop(measured.point.key)
                    failures = 0
                    yield measured
            except TerminatedWorkerError as error:
                failures += 1
                if failures > RESTARTS:
                    raise SpanverError(f"worker processes keep dying: {error}") from error


def measured_by_dask(measure: Measure, points: Sequence[Point], *, scheduler: str, workers: int) -> Iterator[Measured]:
    """Measure points on a Dask cluster, and yield each as it ends; points of a worker that dies run elsewhere.

    Parameters
    ----------
    scheduler : str
        Address, or `local` for a cluster of processes on this machine.
    workers : int
        Of a local cluster.

    Raises
    ------
    MissingExtraError
        If Dask is not installed.
    """
    with _client(scheduler, workers) as (client, as_completed):
        futures = client.map(_one, [measure] * len(points), list(points), pure=False, retries=RESTARTS)
        for future in as_completed(futures):
            yield future.result()


@contextmanager
def _client(scheduler: str, workers: int) -> Iterator[tuple[Any, Any]]:
    try:
        from dask.distributed import Client, LocalCluster, as_completed  # noqa: PLC0415 (an extra)
    except ImportError as error:
        raise MissingExtraError("a Dask scheduler", "dask", "dask") from error
    if scheduler != "local":
        with Client(scheduler) as client:
            yield client, as_completed
        return
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        yield client, as_completed
