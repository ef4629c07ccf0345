"""The local page: it shows the station's state and takes answers, without any network."""
