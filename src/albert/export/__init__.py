"""Models in other forms: a file a target."""
