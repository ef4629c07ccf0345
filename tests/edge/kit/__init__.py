"""What the station's tests share."""
