"""What all studies share: points, search for effort, workers, store, figures and tables."""
