"""`python -m apollo_model`: the command line, for torchrun and where no script is installed."""

from apollo_model.cli import main

if __name__ == "__main__":
    main()
