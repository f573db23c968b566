"""The HTTP server. `serve.core` has the models, the queue and the limits; `serve.http` has connections and routes."""
