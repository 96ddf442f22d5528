"""Configurations of Parsl for this machine."""

from pathlib import Path

HERE = """
import parsl
from parsl.executors import HighThroughputExecutor, ThreadPoolExecutor
from parsl.providers import LocalProvider

processes = HighThroughputExecutor(
    address="127.0.0.1", max_workers_per_node=2, heartbeat_period={period}, heartbeat_threshold={threshold}, encrypted=False,
    provider=LocalProvider(init_blocks=1, max_blocks=1),
)
executors = [ThreadPoolExecutor(max_threads=1)] if {threads} else [processes]
config = parsl.Config(executors=executors, run_dir={runs!r}, strategy="none", strategy_period=0.2)
"""


def write_config(folder: Path, threads: bool = False, heartbeat: tuple[int, int] = (2, 120)) -> Path:
    """A file as ``execute.parsl`` wants it: two workers, or one thread, which starts sooner."""
    file = folder / "parsl_config.py"
    file.write_text(HERE.format(period=heartbeat[0], threshold=heartbeat[1], threads=threads, runs=str(folder / "runinfo")))
    return file
