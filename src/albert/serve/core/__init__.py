"""Models behind one queue, with admission and limits. Nothing here knows of HTTP."""
