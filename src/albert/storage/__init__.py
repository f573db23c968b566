"""Files that are whole or not there: written beside and renamed, locked, and read with their types checked."""
