"""Downloads: fetch with resume, verify, unpack safely."""
