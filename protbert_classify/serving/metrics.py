"""What a server counts, for Prometheus."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
PROTEINS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)


class Metrics:
    """Counts of one server; the functions are called when the counts are read.

    Args:
        waiting: Returns the proteins in the queue.
        held: Returns the bytes of the bodies of unanswered requests.
        ready: Returns whether requests are accepted.
    """

    def __init__(self, waiting: Callable[[], int], held: Callable[[], int], ready: Callable[[], bool]) -> None:
        self.registry = registry = CollectorRegistry()
        name = "protbert_classify_{}".format
        self.requests = Counter(name("requests"), "Requests answered", ("path", "status"), registry=registry)
        self.request_seconds = Histogram(
            name("request_seconds"), "From the headers of a request to its answer", registry=registry, buckets=SECONDS
        )
        self.in_flight = Gauge(name("requests_in_flight"), "Requests not answered yet", registry=registry)
        self.proteins = Counter(name("proteins"), "Proteins classified", registry=registry)
        self.residues = Counter(name("residues"), "Residues of these proteins", registry=registry)
        self.passes = Counter(name("forward_passes"), "Forward passes of the model", registry=registry)
        self.batch = Histogram(
            name("batch_proteins"), "Proteins of a forward pass", registry=registry, buckets=PROTEINS
        )
        self.queue_seconds = Histogram(
            name("queue_seconds"), "Time that a protein waited for its forward pass", registry=registry, buckets=SECONDS
        )
        Gauge(name("queue_proteins"), "Proteins that wait", registry=registry).set_function(waiting)
        Gauge(name("bytes_in_flight"), "Bytes of unanswered requests", registry=registry).set_function(held)
        Gauge(name("ready"), "Whether requests are accepted", registry=registry).set_function(lambda: float(ready()))
        self.connections = Gauge(name("connections"), "Open connections", registry=registry)

    def passed(self, proteins: int) -> None:
        """Count a forward pass."""
        self.passes.inc()
        self.batch.observe(proteins)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self.registry)
