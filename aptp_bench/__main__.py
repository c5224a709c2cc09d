"""python -m aptp_bench: the command line, for launchers that take a module (accelerate launch -m, torchrun -m)."""

from aptp_bench.cli import main

if __name__ == "__main__":
    main()
