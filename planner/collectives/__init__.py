"""All-reduce algorithms, one file each: ``emit`` (transfers and additions) beside ``cost_ps``."""
