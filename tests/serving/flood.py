"""Thousands of clients that send large bodies slowly: `python -m tests.serving.flood SPEC.json`, until stdin is closed.

Prints a line of JSON each second: connections that are open, bytes that were sent, statuses that came back.
"""

import asyncio
import json
import sys

from .servers import HOST

HEAD = "POST /invocations HTTP/1.1\r\nHost: loopback\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n"


class Flood:
    """Keeps so many connections open: one that is closed is opened again."""

    def __init__(self, spec):
        self.spec, self.open, self.sent, self.statuses = spec, 0, 0, {}

    async def client(self, number):
        spec = self.spec
        await asyncio.sleep(spec["pause"] * number / spec["clients"])
        while True:
            try:
                reader, writer = await asyncio.open_connection(HOST, spec["port"], limit=4096)
            except OSError:
                await asyncio.sleep(1)
                continue
            self.open += 1
            answers = asyncio.create_task(self.read(reader))
            try:
                await self.send(writer)
            except OSError:
                pass
            finally:
                self.open -= 1
                answers.cancel()
                writer.close()

    async def send(self, writer):
        spec = self.spec
        writer.write(HEAD.format(spec["body"]).encode())
        for _ in range(0, spec["body"], spec["chunk"]):
            writer.write(b" " * spec["chunk"])
            await writer.drain()
            self.sent += spec["chunk"]
            await asyncio.sleep(spec["pause"])
            if writer.is_closing():
                return

    async def read(self, reader):
        try:
            while line := await reader.readline():
                if line.startswith(b"HTTP/1.1 "):
                    status = line.split()[1].decode()
                    self.statuses[status] = self.statuses.get(status, 0) + 1
        except (OSError, ValueError):
            pass

    async def run(self):
        clients = [asyncio.create_task(self.client(number)) for number in range(self.spec["clients"])]
        ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        while not ended.done():
            print(json.dumps({"open": self.open, "sent": self.sent, "statuses": self.statuses}), flush=True)
            await asyncio.sleep(1)
        for client in clients:
            client.cancel()


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        asyncio.run(Flood(json.load(file)).run())
