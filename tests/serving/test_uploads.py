"""Which request gives way when all of them together hold too many bytes."""

import asyncio

import pytest

from protbert_classify.serving import uploads as module
from protbert_classify.serving.http_errors import TooBusy, TooSlow
from protbert_classify.serving.uploads import SMALL, Uploads

LARGE = 2 * SMALL


class Client:
    """A request that sends what it is told to; `result` is None until it is over."""

    def __init__(self, uploads):
        self.uploads, self.chunks, self.leave, self.result = uploads, asyncio.Queue(), asyncio.Event(), None
        self.task = asyncio.create_task(self._run())

    async def _run(self):
        try:
            with self.uploads.begin() as upload:
                async with upload.arriving():
                    while count := await self.chunks.get():
                        upload.add(bytes(count))
                self.body = upload.take()
                self.result = "arrived"
                await self.leave.wait()
        except (TooBusy, TooSlow) as error:
            self.result = error

    async def send(self, count):
        self.chunks.put_nowait(count)
        for _ in range(5):
            await asyncio.sleep(0)


def run(scenario, limit=10 * SMALL, seconds=30):
    async def within():
        await asyncio.wait_for(scenario(Uploads(limit, seconds)), 10)

    asyncio.run(within())


def refused(*clients):
    return [isinstance(client.result, TooBusy) for client in clients]


def test_bytes_count_until_the_request_is_answered():
    async def scenario(uploads):
        client = Client(uploads)
        await client.send(100)
        await client.send(50)
        assert uploads.held == 150
        await client.send(0)
        assert (client.result, len(client.body), uploads.held) == ("arrived", 150, 150)
        client.leave.set()
        await client.task
        assert uploads.held == 0

    run(scenario)


def test_the_newest_large_body_gives_way_so_that_the_first_ones_are_completed():
    async def scenario(uploads):
        clients = [Client(uploads) for _ in range(5)]
        for client in clients:
            await client.send(LARGE)
        assert uploads.held == 10 * SMALL and not any(refused(*clients))
        await clients[0].send(LARGE)
        assert refused(*clients) == [False] * 4 + [True]
        assert uploads.held == 10 * SMALL
        await clients[0].send(1)
        assert refused(*clients) == [False] * 3 + [True] * 2
        assert clients[4].result.retry_after == 1
        assert "as many bytes of requests as it may (655,360); try again later" in str(clients[4].result)

    run(scenario)


def test_a_small_body_is_received_however_many_large_ones_are_arriving():
    async def scenario(uploads):
        large = [Client(uploads) for _ in range(5)]
        for client in large:
            await client.send(LARGE)
        small = Client(uploads)
        await small.send(10)
        assert refused(*large, small) == [False] * 4 + [True, False]
        await small.send(0)
        assert small.result == "arrived"

    run(scenario)


def test_many_small_slow_bodies_give_way_the_oldest_first():
    async def scenario(uploads):
        slow = [Client(uploads) for _ in range(100)]
        for client in slow:
            await client.send(SMALL // 10)
        late = Client(uploads)
        await late.send(SMALL // 10 * 2)
        assert refused(*slow) == [True] * 2 + [False] * 98
        await late.send(0)
        assert late.result == "arrived"

    run(scenario)


def test_a_body_that_takes_long_gives_way_to_a_large_one(monkeypatch):
    monkeypatch.setattr(module, "SLOW", 0.05)

    async def scenario(uploads):
        slow = Client(uploads)
        await slow.send(4 * SMALL)
        await asyncio.sleep(0.1)
        quick = Client(uploads)
        await quick.send(8 * SMALL)
        assert refused(slow, quick) == [True, False]

    run(scenario)


def test_a_body_that_has_arrived_is_never_dropped_and_a_new_one_is_refused():
    async def scenario(uploads):
        done = Client(uploads)
        await done.send(10 * SMALL)
        await done.send(0)
        late = Client(uploads)
        await late.send(1)
        assert (done.result, refused(late)) == ("arrived", [True])
        assert uploads.held == 10 * SMALL

    run(scenario)


def test_a_body_that_does_not_arrive_in_time_frees_its_bytes():
    async def scenario(uploads):
        slow = Client(uploads)
        await slow.send(100)
        await slow.task
        assert isinstance(slow.result, TooSlow)
        assert str(slow.result) == "the body did not arrive within 0.05 seconds"
        assert uploads.held == 0

    run(scenario, seconds=0.05)


@pytest.mark.parametrize("sent", [1, SMALL])
def test_a_request_that_was_refused_while_it_waited_counts_no_more(sent):
    async def scenario(uploads):
        first, second = Client(uploads), Client(uploads)
        await first.send(LARGE)
        await second.send(LARGE)
        second.chunks.put_nowait(sent)  # on its way when the refusal comes
        first.chunks.put_nowait(9 * SMALL)
        for _ in range(10):
            await asyncio.sleep(0)
        assert sum(refused(first, second)) >= 1
        survivors = [client for client in (first, second) if not isinstance(client.result, TooBusy)]
        for client in survivors:
            await client.send(0)
            client.leave.set()
        await asyncio.gather(first.task, second.task)
        assert uploads.held == 0

    run(scenario)
