"""Hostile text made readable: look-alike letters, display order, floods of marks."""
