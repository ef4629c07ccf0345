"""Storage of images in a folder or a bucket, and the intake of uploads."""
