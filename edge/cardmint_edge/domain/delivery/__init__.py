"""What is sent to the cloud next, and when."""
