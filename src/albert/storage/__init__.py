"""Files that are whole or absent: written under a temporary name and renamed, locked, and read with their types
checked.
"""
