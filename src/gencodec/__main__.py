"""Lets `python -m gencodec` do what the command `gencodec` does."""

from gencodec.cli import main

if __name__ == "__main__":
    main()
