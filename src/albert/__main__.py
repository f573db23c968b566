"""`python -m albert` and `torchrun -m albert`: the same command as `albert`."""

from albert.cli import main

if __name__ == "__main__":
    main()
