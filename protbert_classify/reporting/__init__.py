"""From a run to figures, an HTML report and Hub cards."""
