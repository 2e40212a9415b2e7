"""From answers of trained classifiers to results: metrics, intervals, tests, verdicts, costs."""
