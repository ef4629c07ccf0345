"""One file for each kind of camera; all fit `capture.Camera`."""
