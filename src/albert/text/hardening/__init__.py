"""Hostile text made readable: look-alikes, order of display, floods of marks."""
