"""Where images are kept: a folder or a bucket, and how one comes in."""
