"""Local execution of W&B sweep files, without an account."""
