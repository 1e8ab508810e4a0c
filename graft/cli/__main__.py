"""``python -m graft.cli``: the same as ``graft``."""

from graft.cli import app

if __name__ == "__main__":
    app(prog_name="graft")
