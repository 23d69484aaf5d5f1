import asyncio
import threading
import time

import numpy as np
import pytest

from protbert_classify.serving.batching import Batcher
from protbert_classify.serving.http_errors import QueueFull

WAIT = 10  # seconds, for what must come


def protein(number, length=5):
    return np.full(length, number, dtype=np.uint8)


class Model:
    """Scores a protein with its first id; each pass waits for `gate`."""

    def __init__(self):
        self.rounds, self.gate, self.begun = [], threading.Event(), threading.Event()
        self.gate.set()

    def __call__(self, encoded):
        self.begun.set()
        assert self.gate.wait(WAIT)
        self.rounds.append([int(ids[0]) for ids in encoded])
        if any(ids[0] == 99 for ids in encoded):
            raise RuntimeError("a bad protein")
        return np.array([[float(ids[0]), len(ids)] for ids in encoded])


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def batcher(model):
    made = []

    def make(**options):
        made.append(Batcher(model, **{"tokens": 100, "wait": 0.005, "longest": 50} | options))
        return made[-1]

    yield make
    model.gate.set()
    for each in made:
        each.close()


def together(batcher, *requests):
    """Answers of requests that come at once, errors among them."""

    async def ask():
        return await asyncio.gather(*map(batcher.submit, requests), return_exceptions=True)

    return asyncio.run(asyncio.wait_for(ask(), WAIT))


def test_requests_share_a_pass_and_each_gets_its_own_answer(batcher, model):
    requests = [[protein(1)], [protein(2), protein(3)], [protein(4)]]
    answers = together(batcher(wait=1, tokens=20), *requests)  # full, so that it does not wait
    assert [answer[:, 0].tolist() for answer in answers] == [[1], [2, 3], [4]]
    assert model.rounds == [[1, 2, 4, 3]]


def test_a_round_has_at_most_its_tokens_and_a_long_protein_goes_alone(batcher, model):
    requests = [[protein(1, 60)], [protein(2, 60), protein(3, 40)], [protein(4, 500)], [protein(5, 10)]]
    answers = together(batcher(), *requests)
    assert model.rounds == [[1], [2], [4], [5, 3]]
    assert [answer.tolist() for answer in answers] == [[[1, 60]], [[2, 60], [3, 40]], [[4, 500]], [[5, 10]]]


def test_requests_take_turns_so_that_a_small_one_does_not_wait_for_a_large_one(batcher, model):
    large = [protein(1, 20) for _ in range(12)]
    answers = together(batcher(wait=1), large, [protein(2, 20)], [protein(3, 20), protein(4, 20)])
    assert model.rounds == [[1, 2, 3, 1, 4], [1] * 5, [1] * 5]
    assert [answer[:, 0].tolist() for answer in answers] == [[1] * 12, [2], [3, 4]]


def test_a_client_that_leaves_harms_nobody(batcher, model):
    queue = batcher()
    model.gate.clear()

    async def ask():
        leaving = asyncio.create_task(queue.submit([protein(1)]))
        await asyncio.to_thread(model.begun.wait, WAIT)
        staying = asyncio.create_task(queue.submit([protein(2)]))
        leaving.cancel()
        await asyncio.sleep(0.02)
        model.gate.set()
        return await staying

    assert asyncio.run(asyncio.wait_for(ask(), WAIT)).tolist() == [[2, 5]]


def test_proteins_that_wait_are_dropped_when_their_client_leaves(batcher, model):
    """Those of others stay in their order, and the queue has room again."""
    queue = batcher(tokens=20, longest=10)
    model.gate.clear()

    async def ask():
        first = asyncio.create_task(queue.submit([protein(1)]))
        await asyncio.to_thread(model.begun.wait, WAIT)
        leaving = asyncio.create_task(queue.submit([protein(2)] * 8))
        staying = asyncio.create_task(queue.submit([protein(3), protein(4)]))
        await asyncio.sleep(0.02)
        assert (queue.waiting, queue._tokens) == (10, 50)
        with pytest.raises(QueueFull):
            await queue.submit([protein(5)])
        leaving.cancel()
        await asyncio.sleep(0.02)
        assert (queue.waiting, queue._tokens) == (2, 10)
        late = asyncio.create_task(queue.submit([protein(6)]))
        await asyncio.sleep(0.02)
        model.gate.set()
        return await asyncio.gather(first, staying, late)

    answers = asyncio.run(asyncio.wait_for(ask(), WAIT))
    assert [answer[:, 0].tolist() for answer in answers] == [[1], [3, 4], [6]]
    assert model.rounds == [[1], [3, 6, 4]]


def test_a_client_may_leave_while_its_round_is_computed_or_before_it_begins(batcher, model):
    queue = batcher(tokens=10, wait=0.05)

    async def ask():
        alone = asyncio.create_task(queue.submit([protein(1)]))  # leaves while it waits for others
        await asyncio.sleep(0.01)
        alone.cancel()
        await asyncio.sleep(0.1)
        assert (queue.waiting, queue._tokens, model.rounds) == (0, 0, [])
        model.gate.clear()
        half = asyncio.create_task(queue.submit([protein(2), protein(3), protein(4)]))
        await asyncio.to_thread(model.begun.wait, WAIT)
        half.cancel()  # two of three are being computed
        await asyncio.sleep(0.02)
        model.gate.set()
        return await queue.submit([protein(5)])

    assert asyncio.run(asyncio.wait_for(ask(), WAIT)).tolist() == [[5, 5]]
    assert model.rounds == [[2, 3], [5]]
    assert (queue.waiting, queue._tokens) == (0, 0)


def test_a_lone_protein_waits_no_longer_than_it_was_told(batcher):
    seconds = []
    queue = batcher(wait=0.05, waited=seconds.append)
    together(queue, [protein(1)])
    assert 0.045 < seconds[0] < 2


def test_what_comes_during_a_pass_is_computed_in_the_next(batcher, model):
    queue = batcher()
    model.gate.clear()

    async def ask():
        first = asyncio.create_task(queue.submit([protein(1)]))
        await asyncio.to_thread(model.begun.wait, WAIT)
        others = [asyncio.create_task(queue.submit([protein(number)])) for number in range(2, 12)]
        await asyncio.sleep(0.05)
        assert queue.waiting == 10
        model.gate.set()
        return await asyncio.gather(first, *others)

    answers = asyncio.run(asyncio.wait_for(ask(), WAIT))
    assert [int(answer[0, 0]) for answer in answers] == list(range(1, 12))
    assert model.rounds == [[1], list(range(2, 12))]


def test_a_full_queue_refuses_the_whole_request_and_says_when_to_come_back(batcher, model):
    queue = batcher(longest=3)
    together(queue, [protein(9)])  # from which it knows its rate
    model.gate.clear()
    model.begun.clear()

    async def ask():
        first = asyncio.create_task(queue.submit([protein(1)]))
        await asyncio.to_thread(model.begun.wait, WAIT)
        waiting = [asyncio.create_task(queue.submit([protein(number)])) for number in (2, 3)]
        await asyncio.sleep(0.05)
        with pytest.raises(QueueFull, match="2 proteins wait already") as refused:
            await queue.submit([protein(4), protein(5)])
        model.gate.set()
        await asyncio.gather(first, *waiting)
        return refused.value

    assert asyncio.run(asyncio.wait_for(ask(), WAIT)).retry_after == 1
    assert sum(model.rounds, []) == [9, 1, 2, 3]


def test_a_slow_model_asks_for_more_patience_but_not_without_end(batcher):
    queue = batcher()
    queue._rate = 0.5
    seconds = []
    for queue._tokens in (10, 10_000):
        seconds.append(queue._retry_after())
    queue._tokens = 0
    assert seconds == [20, 60]


def test_the_patience_that_is_asked_for_is_that_of_full_rounds(batcher, model):
    queue = batcher(tokens=10)
    slow = model.__call__

    def compute(encoded):
        time.sleep(0.05)
        return slow(encoded)

    queue.compute = compute
    together(queue, [protein(1, 10)])
    together(queue, [protein(2, 1)])  # which is computed when the round before is over
    full = queue._rate
    assert 50 < full < 200  # tokens a second
    together(queue, [protein(3, 1)])
    assert queue._rate == full


def test_a_protein_that_cannot_be_computed_fails_no_other_request(batcher):
    answers = together(batcher(wait=1, tokens=20), [protein(1)], [protein(99), protein(2)], [protein(3)])
    assert [int(answers[0][0, 0]), int(answers[2][0, 0])] == [1, 3]
    assert isinstance(answers[1], RuntimeError)


def test_closing_computes_what_waits(model):
    queue = Batcher(model, tokens=5, wait=5, longest=50)
    model.gate.clear()
    futures = [queue._enqueue([protein(number)]).future for number in range(4)]
    closing = threading.Thread(target=queue.close)
    closing.start()
    time.sleep(0.02)
    model.gate.set()
    closing.join(WAIT)
    assert not closing.is_alive()
    assert [float(future.result(0)[0, 0]) for future in futures] == [0, 1, 2, 3]
