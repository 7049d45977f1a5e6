"""``python -m dynamical_loss``."""

from dynamical_loss.cli import main

if __name__ == "__main__":
    main()
