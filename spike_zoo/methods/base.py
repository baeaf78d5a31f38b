"""What every method that makes pictures shares: evaluation, prediction, reconstruction."""
