"""Train a network from a recipe: ``python train.py models/NAME.toml --data DIR --out DIR``."""

from slicekit.cli import train_door

if __name__ == "__main__":
    train_door()
