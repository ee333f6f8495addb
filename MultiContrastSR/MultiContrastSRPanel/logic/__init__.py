"""What the module does, without widgets: runs on the worker thread, their inputs and results, dependencies."""
