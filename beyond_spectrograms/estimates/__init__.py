"""What work will cost, foretold: rates of earlier runs and short pilots."""
