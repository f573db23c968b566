"""The HTTP server: an application, the queue that feeds the engine across requests, and what keeps both upright."""
