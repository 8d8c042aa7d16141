"""What must be true of a run, judged by the records that production writes to its journal too."""
