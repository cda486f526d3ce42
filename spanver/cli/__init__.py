"""The command line: `spanver verify | zoo | run | certify | study | guarantees`."""
