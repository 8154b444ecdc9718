"""The same work on many parts: on every core where there are many, in order, one part's result at a time."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from typing import TypeVar

Part = TypeVar("Part")
Result = TypeVar("Result")
FEW = 3  # parts that are not worth a process


def work_in_parts(work: Callable[[Part], Result], parts: Sequence[Part]) -> Iterator[Result]:
    """Results in the order of the parts; raises what `work` raises."""
    cores = len(os.sched_getaffinity(0))
    if len(parts) <= FEW or cores == 1:
        yield from map(work, parts)
        return
    with ProcessPoolExecutor(cores, multiprocessing.get_context("fork")) as pool:
        yield from pool.map(work, parts)
