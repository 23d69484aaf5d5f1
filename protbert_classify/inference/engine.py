"""The engine: the one place that runs a model over many proteins.

Batches hold proteins of similar length up to a number of tokens, the longest come first, and a batch that does not fit
into memory is computed in halves. A CPU computes several batches of a small model at a time. Predicting, evaluating,
serving, embedding and validating during training all run through [`run_batches`].
"""

import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

import numpy as np
import torch

from ..model.attention import PADDING_FREE

logger = logging.getLogger(__name__)

CPU_BATCH = 10 * 2**20  # bytes of the widest float32 activation of a batch: more leaves the caches of a processor
CPU_TOKENS = (2048, 16_384)  # the fewest and the most of a batch; fewer spend their time between operations
DEVICE_TOKENS = 16_384
NARROW = 2048  # outputs of a layer; the cores of a CPU share the work of a wider one without much waiting
MOST_AT_A_TIME = 4  # batches; each takes memory, and more would wait for each other in Python
BATCHES_FOR_EACH = 4  # at least: with fewer, the last ones would leave cores idle
PAD_TO_ON_CPU = 32  # tokens; every new length makes new kernels, which stay in memory
# how backends say that memory ran out, beside torch.OutOfMemoryError
OUT_OF_MEMORY = (
    "out of memory",
    "can't allocate memory",
    "could not create a primitive",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_NOT_SUPPORTED",
    "PT_DEVMEM Allocation failed",
)
Result = TypeVar("Result")


def run_batches(
    lengths: Sequence[int] | np.ndarray,
    collate: Callable[[list[int]], Mapping[str, Any]],
    compute: Callable[[dict[str, Any]], Result],
    device: torch.device,
    tokens: int,
    progress: Callable[[int], object] | None = None,
    rounds: int | None = None,
    at_a_time: int = 1,
) -> Iterator[tuple[list[int], Result]]:
    """Run something over proteins, batched by length, and yield what it gives for each batch.

    Args:
        lengths: (N,), tokens of each protein.
        collate: Makes a batch of rows, 0..N-1; its tensors are moved to `device`.
        compute: Runs the model on a batch, without gradients. Its result must not stay on the device.
        device: Where it computes.
        tokens: Tokens of a batch, at most, padding included, such as [`default_tokens`]; a longer protein goes alone.
        progress: Called after each batch with the number of its proteins.
        rounds: How often to call `compute`, at least as often as there are batches ([`count_batches`]). Where
            processes share a sharded model, each of them must compute as often as the others, or they wait for each
            other forever: surplus rounds repeat a batch and drop the result, and no batch is halved.
        at_a_time: Batches that a CPU computes at a time, if there are enough of them; see [`batches_at_a_time`].
            `compute` is then called from several threads, `collate` is not.

    Yields:
        The rows of a batch, and its result. Each row comes once.

    Raises:
        ValueError: Fewer rounds than batches, or rounds without proteins.
        RuntimeError: Out of memory with a single protein, or with `rounds`.
    """
    batches = list(batches_by_length(lengths, tokens))
    if rounds is not None and (rounds < len(batches) or (rounds and not batches)):
        raise ValueError(f"rounds={rounds}: expected at least {max(len(batches), 1)} and a protein to compute")

    def job(rows: list[int]) -> Callable[[], tuple[Result] | None]:
        return partial(_computed, collate(rows), compute, device, may_fail=rounds is None and len(rows) > 1)

    alone = sum(lengths[rows[0]] > tokens for rows in batches)  # the first ones; each needs every core and much memory
    enough = len(batches) - alone >= BATCHES_FOR_EACH * at_a_time
    for part, threads in ((batches[:alone], 1), (batches[alone:], at_a_time if enough else 1)):
        for rows, result in _results(part, job, device, threads):
            yield rows, result
            if progress is not None:
                progress(len(rows))
    for _ in range((rounds or 0) - len(batches)):
        _computed(collate(batches[-1]), compute, device, may_fail=False)  # the last, of the shortest, is the cheapest


def batches_by_length(lengths: Sequence[int] | np.ndarray, tokens_per_batch: int) -> Iterator[list[int]]:
    """Rows of similar length, longest first, at most so many tokens with their padding; at least one row."""
    batch: list[int] = []
    for row in np.argsort(-np.asarray(lengths, dtype=np.int64), kind="stable").tolist():
        if batch and (len(batch) + 1) * lengths[batch[0]] > tokens_per_batch:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def count_batches(lengths: Sequence[int] | np.ndarray, tokens: int) -> int:
    """How many batches [`run_batches`] makes of proteins of these lengths, as long as memory suffices."""
    return sum(1 for _ in batches_by_length(lengths, tokens))


def default_tokens(model: torch.nn.Module) -> int:
    """Tokens of a batch that a model computes fast where it is: on a CPU, the more the narrower its layers are."""
    if next(model.parameters()).device.type != "cpu":
        return DEVICE_TOKENS
    fewest, most = CPU_TOKENS
    return min(max(CPU_BATCH // (4 * _widest(model)), fewest), most)


def batches_at_a_time(model: Any) -> int:
    """How many batches of a classifier a CPU should compute at a time, each with its share of the threads.

    All cores together wait for each other after every operation of a narrow network. Several batches at a time are only
    for packed proteins: these backbones keep nothing from one forward pass that another would read.
    """
    packed = model.backbone.config._attn_implementation == PADDING_FREE
    if not packed or model.device.type != "cpu" or _widest(model) > NARROW:
        return 1
    return min(torch.get_num_threads(), MOST_AT_A_TIME)


def is_out_of_memory(error: Exception) -> bool:
    """Whether an error says that memory ran out, so that a smaller batch may fit."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(sign in str(error) for sign in OUT_OF_MEMORY)


def empty_cache(device: torch.device) -> None:
    """Give the memory that torch keeps for later back to a device."""
    backend: Any = getattr(torch, device.type, None)
    if hasattr(backend, "empty_cache"):
        backend.empty_cache()


def _widest(model: torch.nn.Module) -> int:
    return max((layer.out_features for layer in model.modules() if isinstance(layer, torch.nn.Linear)), default=1)


def _results(
    batches: Sequence[list[int]],
    job: Callable[[list[int]], Callable[[], tuple[Result] | None]],
    device: torch.device,
    threads: int,
) -> Iterator[tuple[list[int], Result]]:
    """The rows and results of batches, which are computed in halves where a job gives None."""
    todo, begun = deque(batches), deque[tuple[list[int], Callable[[], tuple[Result] | None]]]()
    with _threads(threads) as (start, ahead):
        while todo or begun:
            while todo and len(begun) < ahead:
                begun.append((todo[0], start(job(todo.popleft()))))
            rows, finish = begun.popleft()
            result = finish()
            if result is None:
                # only now: the error held what the forward pass had computed so far
                logger.info("out of memory with %d proteins in a batch: computing them in halves", len(rows))
                empty_cache(device)
                todo.extendleft((rows[len(rows) // 2 :], rows[: len(rows) // 2]))
            else:
                yield rows, result[0]


@contextlib.contextmanager
def _threads(count: int) -> Iterator[tuple[Callable[[Callable[[], Any]], Callable[[], Any]], int]]:
    """What starts a job and returns how to wait for its result, and how many jobs to start before waiting for one.

    With one thread, a job runs when its result is asked for.
    """
    if count == 1:
        yield lambda job: job, 1
        return
    cores = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, "batch", torch.set_num_threads, (max(1, cores // count),))
    try:
        yield lambda job: pool.submit(job).result, 2 * count
    finally:
        pool.shutdown(cancel_futures=True)  # after Ctrl-C, too, nothing may run on
        torch.set_num_threads(cores)  # what later threads begin with


def _computed(
    batch: Mapping[str, Any], compute: Callable[[dict[str, Any]], Result], device: torch.device, may_fail: bool
) -> tuple[Result] | None:
    """The result, alone in a tuple; None if the batch `may_fail` for want of memory and does."""
    try:
        with torch.inference_mode():
            moved = {name: value.to(device) if torch.is_tensor(value) else value for name, value in batch.items()}
            return (compute(moved),)
    except RuntimeError as error:
        if not may_fail or not is_out_of_memory(error):
            raise
        return None
