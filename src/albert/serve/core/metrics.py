"""The metrics of /metrics for Prometheus: the names of text-embeddings-inference, and some of our own."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Gauge, Histogram, generate_latest

from albert.serve.core.admission import Admission
from albert.serve.core.call import Call

_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
_POWERS = tuple(2.0**power for power in range(15))
_DEPTHS = (1, 2, 3, 4, 6, 8, 10, 12, 18, 24)


class Metrics:
    """All metrics, in a registry of their own, so that one process can hold several servers."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # Gauges in place of counters: prometheus-client would rename te_request_count to te_request_count_total.
        self._count = self._gauge("te_request_count", "Requests for inference.", "method")
        self._success = self._gauge("te_request_success", "Requests answered.", "method")
        self._failure = self._gauge("te_request_failure", "Requests refused or failed.", "err")
        self._responses = self._gauge("albert_responses", "Responses of any kind.", "path", "status")
        self._queue = self._gauge("te_queue_size", "Requests that wait for a batch.")
        self._queue_tokens = self._gauge("albert_queue_tokens", "Tokens that wait for a batch.")
        self._saved = self._gauge("albert_padding_saved_tokens", "Padding tokens that packed batches saved.")
        self._dropped = self._gauge("albert_dropped", "Requests whose client left before the answer.")
        self._cut = self._gauge("albert_truncated_inputs", "Texts that were longer than the model reads.")
        self._duration = self._seconds("te_request_duration", "From the first byte to the answer.")
        self._tokenizing = self._seconds("te_request_tokenization_duration", "Time of a request in tokenising.")
        self._queued = self._seconds("te_request_queue_duration", "Time of a request waiting for a batch.")
        self._computing = self._seconds("te_request_inference_duration", "Time of a request in batches.")
        self._length = self._histogram("te_request_input_length", "Tokens of a request.", _POWERS)
        self._size = self._histogram("te_batch_next_size", "Rows of a batch.", _POWERS)
        self._tokens = self._histogram("te_batch_next_tokens", "Tokens of a batch.", _POWERS)
        self._batch_seconds = self._seconds("te_batch_inference_duration", "Seconds of a batch.")
        self._depth = self._histogram("albert_exit_depth", "Mean depth at which a batch's rows left.", _DEPTHS)

    def watch(self, admission: Admission) -> None:
        """Exports the number of requests under way, its limit, and the delay of the event loop."""
        for name, what, value in (
            ("albert_requests_under_way", "Requests that are not answered yet.", lambda: admission.under_way),
            ("albert_requests_limit", "Requests that may be under way now.", lambda: admission.limit),
            ("albert_loop_lag_seconds", "Delay of the event loop in seconds.", lambda: admission.lag),
        ):
            self._gauge(name, what).set_function(value)

    def _gauge(self, name: str, what: str, *labels: str) -> Gauge:
        return Gauge(name, what, labels, registry=self.registry)

    def _histogram(self, name: str, what: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, what, buckets=buckets, registry=self.registry)

    def _seconds(self, name: str, what: str) -> Histogram:
        return self._histogram(name, what, _SECONDS)

    def queued(self, requests: int, tokens: int) -> None:
        """Sets how many requests and tokens wait."""
        self._queue.set(requests)
        self._queue_tokens.set(tokens)

    def batch(self, rows: int, tokens: int, longest: int, seconds: float, depth: float) -> None:
        """Counts a computed batch. `depth` is the mean exit depth, 0 without early exit."""
        self._size.observe(rows)
        self._tokens.observe(tokens)
        self._batch_seconds.observe(seconds)
        self._saved.inc(rows * longest - tokens)
        if depth:
            self._depth.observe(depth)

    def answered(self, path: str, status: int, call: Call | None, error_type: str | None) -> None:
        """Counts a response. `call` is given for requests of inference."""
        self._responses.labels(path, str(status)).inc()
        if call is None:
            return
        self._count.labels(call.method).inc()
        if error_type is not None:
            self._failure.labels(error_type.lower()).inc()
        if status != 200 or error_type is not None:  # a stream may fail after its status was sent
            return
        self._success.labels(call.method).inc()
        self._cut.inc(call.cut)
        self._length.observe(call.tokens)
        for histogram, seconds in (
            (self._tokenizing, call.tokenizing), (self._queued, call.queued), (self._computing, call.computing),
        ):  # fmt: skip
            histogram.observe(seconds)

    def lasted(self, seconds: float) -> None:
        """Counts the duration of an answer, in seconds."""
        self._duration.observe(seconds)

    def dropped(self) -> None:
        """Counts a request whose client left."""
        self._dropped.inc()

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
