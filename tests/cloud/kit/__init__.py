"""What the cloud's tests share."""
