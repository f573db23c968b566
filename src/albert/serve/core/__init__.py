"""Models behind one queue, with admission and limits; it knows nothing of HTTP."""
