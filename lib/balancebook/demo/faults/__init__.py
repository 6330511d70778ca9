"""Real inconsistencies between a base table and its view, on a database that the demo started.

`Injector` writes cells past the view's update; the commands below it choose rows, remember what they did and undo it.
"""

from balancebook.demo.faults.inject import Injector

__all__ = ["Injector"]
