"""Training jobs: their settings, their hyperparameters, the search of these, and how a job is followed."""
