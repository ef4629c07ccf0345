"""What the station sends to the cloud, and when."""
