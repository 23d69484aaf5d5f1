"""Many clients at once, in a process of their own: `python -m tests.serving.clients SPEC.json`.

Each keeps its connection and asks as soon as it was answered. Raw sockets: what is measured is the server.
"""

import asyncio
import json
import subprocess
import sys
import time

from tests.training.runs import ROOT, environment


async def ask(reader, writer, body):
    """The status and the body of an answer."""
    writer.write(
        b"POST /invocations HTTP/1.1\r\nHost: loopback\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
    length = next(int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length"))
    return int(head.split()[1]), await reader.readexactly(length)


async def client(spec, numbers, results):
    """Ask until there is nothing to ask, or the server is gone."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", spec["port"])
    except OSError:
        return
    for number in numbers:
        protein = number % len(spec["proteins"])
        body = json.dumps({"inputs": spec["proteins"][protein], "parameters": {"top_k": None}}).encode()
        start = time.perf_counter()
        try:
            status, text = await ask(reader, writer, body)
        except (OSError, asyncio.IncompleteReadError) as error:
            partly = isinstance(error, asyncio.IncompleteReadError) and bool(error.partial)
            results.append({"protein": protein, "status": None, "partly": partly})
            break
        seconds = time.perf_counter() - start
        results.append({"protein": protein, "status": status, "seconds": seconds, "answer": json.loads(text)})
        if status != 200:
            break
    writer.close()


async def crowd(spec):
    results, numbers = [], iter(range(spec["requests"]))
    start = time.perf_counter()
    clients = [client(spec, numbers, results) for _ in range(spec["clients"])]
    await asyncio.wait_for(asyncio.gather(*clients), spec["timeout"])
    return {"seconds": time.perf_counter() - start, "results": results}


def start_clients(folder, port, proteins, requests, clients, timeout=240):
    """Begin to ask; what [`finished`] waits for."""
    spec = {"port": port, "proteins": proteins, "requests": requests, "clients": clients, "timeout": timeout}
    path = folder / f"clients-{clients}-{requests}.json"
    path.write_text(json.dumps(spec))
    line = [sys.executable, "-m", "tests.serving.clients", str(path)]
    return subprocess.Popen(line, stdout=subprocess.PIPE, text=True, env=environment(), cwd=ROOT)


def finished(process, timeout=300):
    """The seconds that all took, and of each request its protein, status, seconds and answer."""
    out, _ = process.communicate(timeout=timeout)
    assert process.returncode == 0
    return json.loads(out)


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        print(json.dumps(asyncio.run(crowd(json.load(file)))))
