"""The HTTP server: connections, routes, keys, the page."""
