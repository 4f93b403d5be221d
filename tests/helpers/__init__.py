"""What tests share: small songs, networks and bad files."""
