"""`python -m albert` and `torchrun -m albert`: the same command."""

from albert.cli import main

if __name__ == "__main__":
    main()
