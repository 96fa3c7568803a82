"""Maps in processes of this machine and on a Dask cluster: order, faults, and what is said where no cluster is."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import dask
import pytest
from distributed import LocalCluster

from data_modules.common import executors
from data_modules.common.errors import DataError, UserError
from data_modules.common.executors import executor, mapped


def slow_square(number: int) -> int:
    time.sleep(0.05 if number % 3 == 0 else 0)
    return number**2


def killed_at(number: int, marks: Path) -> int:
    """Numbers 4 and 9 kill the first process that works on them."""
    if number in (4, 9):
        try:
            (marks / str(number)).touch(exist_ok=False)
        except FileExistsError:
            return number
        os.kill(os.getpid(), signal.SIGKILL)
    return number


@pytest.mark.parametrize("on_cluster", [False, True])
def test_results_come_in_order_though_processes_are_killed(
    on_cluster: bool, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    where = {"cluster": request.getfixturevalue("dask_cluster")} if on_cluster else {"workers": 2}
    assert list(mapped(slow_square, range(12), **where)) == [number**2 for number in range(12)]
    assert list(mapped(partial(killed_at, marks=tmp_path), range(12), **where)) == list(range(12))
    assert len(list(tmp_path.iterdir())) == 2


def gone(_: int) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_what_kills_every_worker_of_a_cluster_is_an_error() -> None:
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50) as cluster,
        pytest.raises(UserError, match=rf"^--cluster {cluster.scheduler_address}: .* died while running it"),
    ):
        list(mapped(gone, [0], cluster=cluster.scheduler_address))


def refused(_: int) -> None:
    raise DataError("not this one")


def test_what_is_raised_there_is_raised_here(dask_cluster: str) -> None:
    for where in ({"workers": 2}, {"cluster": dask_cluster}):
        with pytest.raises(DataError, match=r"^not this one$"):
            list(mapped(refused, range(3), **where))


def test_a_folder_that_another_machine_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"/not/there cannot be entered on .*same path"):
        executors._in("/not/there", slow_square, 1)


def test_threads_of_a_worker_do_not_change_each_others_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # so that the folder of before comes back
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()

    def both_times(_: int) -> tuple[Path, Path]:
        before = Path.cwd()
        time.sleep(0.05)
        return before, Path.cwd()

    with ThreadPoolExecutor(4) as pool:
        calls = [pool.submit(executors._in, str(folder), both_times, 0) for folder in folders * 4]
        assert [call.result() for call in calls] == [(folder, folder) for folder in folders * 4]


def concurrent(folder: str) -> int:
    """How many calls run at the same time, this one included."""
    mark = Path(folder, f"{os.getpid()}-{threading.get_ident()}")
    mark.touch()
    time.sleep(1)
    found = len(list(Path(folder).iterdir()))
    mark.unlink()
    return found


@pytest.mark.thorough
def test_calls_take_the_workers_resources(tmp_path: Path) -> None:
    options: dict[str, Any] = {"threads_per_worker": 2, "resources": {"GPU": 1}, "processes": False}
    with LocalCluster(n_workers=2, dashboard_address="127.0.0.1:0", silence_logs=50, **options) as cluster:
        cluster.wait_for_workers(2)
        for resources, room in (({"GPU": 1}, 2), ({}, 4)):
            with executor(cluster=cluster.scheduler_address, resources=resources) as (pool, slots):
                assert slots == room
                calls = [pool.submit(concurrent, str(tmp_path)) for _ in range(8)]
                assert max(call.result() for call in calls) == room


def test_a_cluster_without_room_is_waited_for_and_that_is_said(
    dask_cluster: str, caplog: pytest.LogCaptureFixture
) -> None:
    with executor(cluster=dask_cluster, resources={"FPGA": 1}) as (_, slots):
        assert slots == 1
    assert "has no workers that offer {'FPGA': 1} yet" in caplog.text


def test_an_address_where_no_scheduler_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "CONNECT_SECONDS", 0.2)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and does not listen
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UserError, match=rf"^--cluster {address}: no Dask scheduler answers"):
            list(mapped(slow_square, [1], cluster=address))
    with pytest.raises(UserError, match=r"^--cluster nonsense: no Dask scheduler answers"):
        list(mapped(slow_square, [1], cluster="nonsense"))


def test_without_distributed_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(UserError, match=r"needs distributed: pip install 'vdsm-glass\[cluster\]'"):
        list(mapped(slow_square, [1], cluster="tcp://127.0.0.1:1"))


def test_a_scheduler_that_goes_away_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executors, "CONNECT_SECONDS", 2)
    begin = "import sys; from distributed.cli import {0}; {0}.main(sys.argv[1:])"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    scheduler = [sys.executable, "-c", begin.format("dask_scheduler"), "--port", str(port), "--no-dashboard"]
    worker = [sys.executable, "-c", begin.format("dask_worker"), address, "--no-nanny", "--no-dashboard"]
    with subprocess.Popen(scheduler) as first, subprocess.Popen(worker) as second:
        try:
            while True:
                try:
                    results = mapped(slow_square, range(1000), cluster=address)
                    next(results)
                    break
                except UserError:  # not yet
                    time.sleep(0.2)
            first.kill()
            with pytest.raises(UserError, match="the scheduler is gone"):
                list(results)
        finally:
            first.kill()
            second.kill()
