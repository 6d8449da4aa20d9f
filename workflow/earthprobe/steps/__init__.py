"""The steps of the workflow, one module each: `run` reads files, calls the other packages and writes files."""
