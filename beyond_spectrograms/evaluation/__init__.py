"""From answers of trained classifiers to results, and what they are worth: metrics, intervals, tests, verdicts, costs."""
