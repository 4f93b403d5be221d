"""The catalog: finds the songs below a folder and scans each of their files once."""
