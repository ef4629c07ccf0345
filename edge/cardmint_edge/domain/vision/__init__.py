"""Where cards lie in a frame, and which reference pictures they resemble."""
